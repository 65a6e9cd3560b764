"""One loss applied to several layers: lists of feature maps, one pair a layer, weighed and summed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lossearch.errors import UserError


class LayeredLoss(nn.Module):
    """Σ_l w_l · loss(predictions[l], targets[l]) over layers l of any network.

    `forward` takes one list (or tuple) per input of the loss, each with one tensor per layer; layers may differ in
    shape. After a call `layers[layer]` holds each layer's loss without its weight, detached.

    Args:
        loss: A loss whose result is one number, as with reduction mean or sum.
        weights: One per layer; all 1 by default, for any number of layers.

    Raises:
        UserError: For weights that are no finite numbers, and from `forward` for lists that do not fit each other or
            the weights.
    """

    layer_weights: Tensor | None

    def __init__(self, loss: nn.Module, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.loss = loss
        try:
            given = None if weights is None else torch.tensor([float(weight) for weight in weights])
        except (TypeError, ValueError):
            raise UserError("a finite weight for each layer", repr(weights)[:80], "correct `weights`") from None
        if given is not None and not (given.numel() and bool(given.isfinite().all())):
            raise UserError("a finite weight for each layer", str(list(weights or ())), "correct `weights`")
        self.register_buffer("layer_weights", given)
        self.layers = torch.zeros(0)

    def forward(self, *inputs: Sequence[Tensor]) -> Tensor:
        """The weighted sum over layers."""
        layers = self._check(inputs)
        values = [self.loss(*layer) for layer in layers]
        if any(value.dim() for value in values):
            raise UserError("one number from each layer", f"shape {list(values[0].shape)}", "use reduction mean or sum")
        stacked = torch.stack(values)
        self.layers = stacked.detach()
        return stacked.sum() if self.layer_weights is None else (self.layer_weights.to(stacked.dtype) * stacked).sum()

    def _check(self, inputs: Sequence[Sequence[Tensor]]) -> list[tuple[Tensor, ...]]:
        """The inputs of each layer."""
        for given in inputs:
            if isinstance(given, Tensor) or not isinstance(given, Sequence):
                found = type(given).__name__
                raise UserError("a list of tensors, one per layer, for each input", found, "wrap one layer in a list")
        counts = {len(given) for given in inputs}
        expected = None if self.layer_weights is None else len(self.layer_weights)
        if len(counts) != 1 or counts == {0} or counts != {expected or max(counts)}:
            required = "as many layers in each list" + (f" as weights, {expected}" if expected else ", one at least")
            raise UserError(required, f"lists of {', '.join(str(len(given)) for given in inputs)}", "correct the lists")
        return list(zip(*inputs, strict=True))

    def extra_repr(self) -> str:
        """Weights, for `print(module)`."""
        return "" if self.layer_weights is None else f"weights={self.layer_weights.tolist()}"
