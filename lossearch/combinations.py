"""Losses combined into one module, by what they are called."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossearch.archive.discovered import identifier
from lossearch.errors import UserError
from lossearch.joint_loss import JointLoss
from lossearch.loss import Loss
from lossearch.named_losses import LossLike, load

if TYPE_CHECKING:
    from torch import nn

    from lossearch.combining.combined import CombinedLoss
    from lossearch.combining.layered import LayeredLoss


def layered(loss: LossLike | nn.Module, weights: Sequence[float] | None = None, **options: Any) -> LayeredLoss:
    """A loss applied to lists of tensors, one pair per layer of a network; see `LayeredLoss`.

    Args:
        loss: What `load` takes, or a module of your own.
        weights: One per layer; all 1 by default.
        options: Of `Loss.to_module`, such as `backend` or `reduction`.

    Raises:
        UserError: The loss is unknown, or an option does not fit.
    """
    from lossearch.combining.layered import LayeredLoss

    return LayeredLoss(_module(loss, options), weights)


def combine(
    components: Mapping[str, LossLike | nn.Module | None] | Sequence[LossLike | nn.Module],
    method: str = "weighted_sum",
    **options: Any,
) -> CombinedLoss:
    """Several losses as one module that reports each of them; see `CombinedLoss`.

    Args:
        components: By name what `load` takes, a module of your own, or None where the loss will be given computed. In a
            list they are named after the losses, and inputs may be given in a list, too.
        method: How the total is made:
            `weighted_sum`: Σ w_i L_i. Option `weights`, 1 by default: by name or in order, as every option of numbers.
            `uncertainty_weighting`: Σ f_i L_i e^(-s_i) + s_i/2 with learned s (Kendall et al. 2018). Options
            `log_variance` by name, the initial s, 0 by default, and `kinds` by name: `regression` for f = ½, the
            default, or `classification` for f = 1.
            `gradnorm`: equal training rates (Chen et al. 2018). Options `alpha`, `learning_rate`; call
            `update(shared)` in each step.
            `dynamic_weight_average`: by the pace of the last epochs (Liu et al. 2019). Option `temperature`; call
            `update()` after each epoch.
        options: Of the method.

    Raises:
        UserError: A loss or method is unknown, or an option does not fit.
    """
    from lossearch.combining.combine import combination

    named = components if isinstance(components, Mapping) else _named(components)
    modules = {name: None if loss is None else _module(loss, {}) for name, loss in named.items()}
    return combination(modules, method, **options)


def _named(components: object) -> dict[str, LossLike | nn.Module]:
    """Components in a list by name: a loss's own, a module's class; a number tells equal names apart."""
    if not isinstance(components, (list, tuple)):
        raise UserError("losses to combine, by name or in a list", f"{components!r:.80}", 'such as {"a": "focal"}')
    found: dict[str, LossLike | nn.Module] = {}
    for component in components:
        loss = load(component) if isinstance(component, (Loss, JointLoss, str, Path)) else component
        base = loss.name if isinstance(loss, Loss) else identifier(type(loss).__name__)
        names = (base if number == 1 else f"{base}_{number}" for number in itertools.count(1))
        found[next(name for name in names if name not in found)] = loss
    return found


def _module(loss: LossLike | nn.Module, options: Mapping[str, Any]) -> nn.Module:
    """The module of a loss, or a module as it is."""
    if isinstance(loss, (Loss, JointLoss, str, Path)):
        return load(loss).to_module(**options)
    if options:
        raise UserError("no options beside a module of your own", ", ".join(options), "set them on the module")
    from torch import nn

    if not isinstance(loss, nn.Module):
        raise UserError("a loss or a module", f"{loss!r:.80}", 'such as "focal(gamma=2)" or nn.L1Loss()')
    return loss
