"""Predict how diabetes progresses within a year, with a LightningModule; some of the training data is mistyped."""

import lightning
import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def loaders():
    """Patients of training, validation and test; a tenth of the training targets have lost their decimal point."""
    inputs, target = load_diabetes(return_X_y=True)
    inputs, target = torch.tensor(inputs, dtype=torch.float32) * 20, torch.tensor(target, dtype=torch.float32) / 100
    draw = torch.Generator().manual_seed(0)
    mistyped = torch.rand(len(target), generator=draw) < 0.1
    typed = torch.where(mistyped, 10 * target, target)
    training, validation, test = torch.randperm(len(target), generator=draw).split([222, 110, 110])
    return (
        DataLoader(TensorDataset(inputs[training], typed[training]), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(inputs[validation], target[validation]), batch_size=110),
        DataLoader(TensorDataset(inputs[test], target[test]), batch_size=110),
    )


class Progression(lightning.LightningModule):
    """A network of one hidden layer, judged by its mean absolute error."""

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
        self.criterion = nn.MSELoss()

    def forward(self, inputs):
        return self.network(inputs).squeeze(1)

    def training_step(self, batch, _):
        inputs, target = batch
        return self.criterion(self(inputs), target)

    def validation_step(self, batch, _):
        inputs, target = batch
        self.log("mae", (self(inputs) - target).abs().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


def main():
    lightning.seed_everything(0)
    training, validation, test = loaders()
    model = Progression()
    trainer = lightning.Trainer(max_epochs=10, logger=False, enable_checkpointing=False)
    trainer.fit(model, training, validation)
    trainer.validate(model, test)


if __name__ == "__main__":
    main()
