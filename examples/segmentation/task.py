"""Segment small scenes of handwritten digits into background, even digits and odd digits."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

SIZE = 16  # of a scene, in pixels; a digit has eight
INK = 8 / 16  # from which grey level on a pixel belongs to a digit


def scenes(digits, labels, count, draw):
    """Scenes of two digits each, which may overlap, under noise, and the class of every pixel."""
    images, masks = torch.zeros(count, SIZE, SIZE), torch.zeros(count, SIZE, SIZE, dtype=torch.long)
    for scene in range(count):
        for digit in torch.randint(len(digits), (2,), generator=draw):
            top, left = torch.randint(SIZE - 8 + 1, (2,), generator=draw)
            place = (scene, slice(top, top + 8), slice(left, left + 8))
            ink = digits[digit] >= INK
            images[place] = torch.where(ink, digits[digit], images[place])
            masks[place] = torch.where(ink, 1 + labels[digit] % 2, masks[place])
    noise = 0.2 * torch.randn(images.shape, generator=draw)
    return (images + noise).unsqueeze(1), masks


def data():
    """Inputs and masks of training, validation and test, made from different digits."""
    digits, labels = load_digits(return_X_y=True)
    digits, labels = torch.tensor(digits, dtype=torch.float32).reshape(-1, 8, 8) / 16, torch.tensor(labels)
    draw = torch.Generator().manual_seed(0)
    parts = torch.randperm(len(digits), generator=draw).split([997, 400, 400])
    return [scenes(digits[part], labels[part], 200, draw) for part in parts]


def network():
    """Two convolutions, and the scores of the three classes from what they see of a pixel's surroundings."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 24, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(24, 3, 1),
    )


@torch.no_grad()
def mean_iou(model, images, masks):
    """Intersection over union, a mean over the classes."""
    found, true = (functional.one_hot(classes, 3).bool() for classes in (model(images).argmax(1), masks))
    shared, either = (found & true).sum((0, 1, 2)), (found | true).sum((0, 1, 2))
    return (shared / either).mean().item()


def train(criterion, budget, seed, *, learning_rate=1.0, split="validation"):
    torch.manual_seed(seed)
    (images, masks), validation, test = data()
    model = network()
    held_out = test if split == "test" else validation
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01 * learning_rate)
    for _ in range(budget):
        for rows in torch.randperm(len(images)).split(20):
            optimizer.zero_grad()
            criterion(model(images[rows]), masks[rows]).backward()
            optimizer.step()
        yield mean_iou(model, *held_out)


if __name__ == "__main__":
    print(*train(nn.CrossEntropyLoss(), budget=8, seed=0))
