"""Signatures: which tensors a family of tasks provides, with named axes and domains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lossearch.errors import UserError
from lossearch.ir.core.axes import Axes
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import UNIT, Interval
from lossearch.ir.core.types import Kind
from lossearch.registry import Registry

DOMAIN = Interval(-1e4, 1e4)
"""The domain of unbounded inputs: value and gradient of every loss are finite in float32 up to here."""


@dataclass(frozen=True)
class Input:
    """One tensor of a signature.

    `role` says how it reaches the module: `prediction` (what gradients flow to), `target`, or `buffer` (given once,
    at construction, such as class weights; where `learnable`, it becomes an `nn.Parameter`). `labels` names the axis
    along which integer labels may replace a distribution. A `target` that is a distribution over its class axis has
    `simplex`. Of kind `index` are integers that are only compared, such as identities. Losses may do without an
    `optional` one.
    """

    name: str
    axes: Axes
    domain: Interval
    role: str = "prediction"
    labels: str | None = None
    doc: str = ""
    kind: Kind = "real"
    learnable: bool = False
    optional: bool = False

    @cached_property
    def node(self) -> Expr:
        """The graph node for this input."""
        lower, upper = self.domain
        if self.kind != "real":
            return Expr.make("input", name=self.name, axes=self.axes, lower=lower, upper=upper, kind=self.kind)
        return Expr.make("input", name=self.name, axes=self.axes, lower=lower, upper=upper, simplex=self.labels or "")


PROGRESS = Input(
    "progress",
    (),
    UNIT,
    "buffer",
    doc="how much of the training is over, from 0 at the first step to 1; set it before each step",
)
"""An input of every signature: losses that use it change over a training."""


@dataclass(frozen=True, eq=False)
class Signature:
    """A task's inputs, in the order of `forward`; buffers are given at construction. One object per name.

    Signatures of one `family` (by default its own name) serve one kind of task with more or fewer inputs. `rank` is how
    many spatial axes its inputs usually have, where they may have any number. `progress` is the last input of each.
    """

    name: str
    inputs: tuple[Input, ...]
    doc: str = ""
    family: str = ""
    rank: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", self.family or self.name)
        own = tuple(declared for declared in self.inputs if declared != PROGRESS)
        object.__setattr__(self, "inputs", (*own, PROGRESS))

    def __getitem__(self, name: str) -> Input:
        for declared in self.inputs:
            if declared.name == name:
                return declared
        known = ", ".join(declared.name for declared in self.inputs)
        raise UserError(f"an input of signature {self.name}", repr(name), f"it has: {known}")

    def __contains__(self, name: object) -> bool:
        return any(declared.name == name for declared in self.inputs)

    def nodes(self) -> dict[str, Expr]:
        """Every input's node by name."""
        return dict(self._nodes)

    @cached_property
    def _nodes(self) -> dict[str, Expr]:
        return {declared.name: declared.node for declared in self.inputs}

    @property
    def forward_inputs(self) -> tuple[Input, ...]:
        """The inputs that `forward` takes."""
        return tuple(declared for declared in self.inputs if declared.role != "buffer")

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the inputs that `forward` takes and no loss does without."""
        return tuple(declared.name for declared in self.forward_inputs if not declared.optional)

    @property
    def buffers(self) -> tuple[Input, ...]:
        """The inputs that are given at construction."""
        return tuple(declared for declared in self.inputs if declared.role == "buffer")

    @cached_property
    def scores(self) -> Input | None:
        """The unnormalised class scores among the predictions; None where there are none, as where they are cosines."""
        predictions = (one for one in self.inputs if one.role == "prediction")
        return next((one for one in predictions if "class" in one.axes and one.domain == DOMAIN), None)

    @cached_property
    def labelled_scores(self) -> tuple[Input, Input] | None:
        """Class scores and their target, which may be labels, where `forward` takes these two alone; otherwise None."""
        scores = self.scores
        if scores is None or len(self.forward_inputs) != 2 or scores.axes[:2] != ("batch", "class"):
            return None
        (target,) = (one for one in self.forward_inputs if one is not scores)
        fits = target.labels == "class" and target.axes == scores.axes and set(scores.axes[2:]) <= {"space"}
        return (scores, target) if fits else None

    def __reduce__(self) -> tuple[object, ...]:
        return get_signature, (self.name,)


SIGNATURES: Registry[Signature] = Registry("a signature")
"""Every signature by name."""

VARIANTS: Registry[Signature] = Registry("a signature")
"""Signatures that an option of a hand-designed loss asks for; no search starts from them."""


def register_signature(signature: Signature, *, variant: bool = False) -> Signature:
    """Add a signature, or a variant of one; a name can be taken only once."""
    table, other = (VARIANTS, SIGNATURES) if variant else (SIGNATURES, VARIANTS)
    if signature.name in other:
        raise UserError("a new name for a signature", repr(signature.name), "it is taken: choose another")
    return table.add(signature.name, signature)


def get_signature(name: str) -> Signature:
    """The signature of this name."""
    return VARIANTS[name] if name in VARIANTS else SIGNATURES.find(name)
