"""A loss as an `nn.Module` that behaves like PyTorch's own losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor, peek_interpreter_stack

from lossearch.compile.backend import Backend, Function, check_backend
from lossearch.compile.buffers import check_buffer, class_weights
from lossearch.compile.call_plan import CallPlan, plan_call
from lossearch.compile.class_weights import CLASS_WEIGHT, attribute
from lossearch.compile.input_checker import Geometry, InputChecker, ignores, may_ignore, present
from lossearch.compile.layout import Layout, in_order
from lossearch.compile.names import safe
from lossearch.compile.reduction import Reduction, check_reduction
from lossearch.compile.sample_weight import sample_weight_axes
from lossearch.compile.torchscript import is_tracing, quiet_tracing
from lossearch.compile.values import check_finite, check_values, check_weights
from lossearch.compile.variant import SAMPLE_WEIGHT, Variant, check_class_weight
from lossearch.errors import UserError
from lossearch.ir.core.axes import Axes
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.forms.text import format_graph
from lossearch.ir.rewriting.lowering import label_input

IGNORE_INDEX = -100
"""PyTorch's default for `ignore_index`."""


def build(
    graph: Graph,
    backend: str = "eager",
    *,
    reduction: str = "mean",
    weight: Tensor | Sequence[float] | None = None,
    ignore_index: int | None = IGNORE_INDEX,
    buffers: Mapping[str, Tensor] | None = None,
    name: str = "loss",
    validate: bool = False,
) -> LossModule:
    """The module of a graph; see `LossModule`."""
    given = dict(buffers or {})
    if weight is not None:
        given[CLASS_WEIGHT] = class_weights(weight)
    return LossModule(graph, backend, reduction, ignore_index, given, name, validate)


class LossModule(nn.Module):
    """A loss with `forward(prediction, target)`: the signature's inputs in their order.

    Spatial axes may be any number; where each row of a batch has a loss of its own and there is no space, the batch may
    be any number of axes or none, and class scores may lack it too. Integers and masks stand for the numbers of a
    target, and integers for those of boxes. Where the signature has a class axis, the target is either probabilities
    `[batch, class, *space]` or integer labels `[batch, *space]`. Computation is in float32, or float64 where an
    input is: half-precision inputs are converted and autocast is switched off inside, so the result stays finite.
    So are gradients of what is called under autocast, wherever `backward` is called; where torch.compile, torch.func or
    a tracer takes them, losses that multiply matrices are computed in float64 for it. What is called outside of
    autocast has gradients as PyTorch's own losses have them: call `backward` outside of it, too. What traces a model
    (torch.compile, torch.export) traces the loss's eager source, whatever the backend; labels that are no class are
    then met by PyTorch's kernels.
    Each kind of call is compiled when it first occurs.

    Args:
        graph: The loss. Learnable parameters become `nn.Parameter`s of their names, held in their bounds where they
            are used; others are written into the code as numbers.
        backend: `eager`, `torchscript` or `compile` (torch.compile).
        reduction: `mean` (Σ weight·loss / Σ weight), `sum` (Σ weight·loss) or `none` (weight·loss, with the axes of
            the loss). Where no element is kept or the batch is empty, mean and sum are 0 with zero gradient, where
            PyTorch's mean is nan.
        ignore_index: Label whose elements are left out, also of reductions inside the loss; None for none, which
            saves work on a GPU. As in PyTorch it applies to integer labels only.
        buffers: Inputs that the signature takes at construction; learnable ones, such as class centres, become
            `nn.Parameter`s. `class_weight[class]` is what `build` calls
            `weight`: required by losses that use it themselves; in others it multiplies each element by the weight
            of its label's class, or each class's value where the loss keeps the class axis. A loss with a value for
            each element and class is rescaled by it, as PyTorch's binary losses are: the mean divides by their number.
            So it does for soft targets, where the weights enter the sum over classes. The module's attribute, and its
            key in the state dict, is `weight`, as PyTorch's.
        name: Name for display.
        validate: Whether every call also looks at the values of its inputs, as `check` does: to find what is wrong
            with data or a model, since it takes a pass over all inputs and, on a GPU, waits for it.

    Wrong values change nothing silently. Without `validate`, a nan in an input that the loss uses gives nan, and so it
    does in an element that is ignored or has weight zero; boxes with x2 < x1 or y2 < y1 are empty; probabilities that
    do not sum to one weigh their element by their sum.

    Raises:
        UserError: For options that do not fit the loss, and from `forward` for inputs with a wrong shape, dtype,
            device or (on the CPU) label, and with `validate` for wrong values; the message names the argument, what
            was required and what was found.
    """

    def __init__(
        self,
        graph: Graph,
        backend: str,
        reduction: str,
        ignore_index: int | None,
        buffers: Mapping[str, Tensor],
        name: str,
        validate: bool = False,
    ) -> None:
        super().__init__()
        self.validate = validate
        self._plans: dict[tuple[bool, bool, Axes, bool], CallPlan] = {}
        self._inlined = SimpleNamespace()
        self.name = name
        self.graph = graph.frozen()
        self._target = label_input(graph)
        self.backend: Backend = check_backend(backend)
        self.reduction: Reduction = check_reduction(reduction)
        self.ignore_index = self._checked_ignore_index(ignore_index)
        self._given: list[str] = []
        sizes = self._take_buffers(buffers)
        self._checker = InputChecker(self.graph, sizes)
        self._scales = CLASS_WEIGHT in self._given and not self.graph.uses(CLASS_WEIGHT)
        for parameter in self.graph.parameters:
            self._take_parameter(parameter)
        forward_inputs = graph.signature.forward_inputs
        self._names = [declared.name for declared in forward_inputs]
        self._label_at = next((rank for rank, i in enumerate(forward_inputs) if i.labels), -1)
        self._numbers = frozenset(i.name for i in forward_inputs if i.kind == "real" and not i.labels)
        self._spatial = frozenset(i.name for i in forward_inputs if "space" in i.axes)
        written = [parameter.name for parameter in graph.parameters if not parameter.learnable]
        absent = (b.name for b in graph.signature.buffers if b.name not in self._given)
        self._fixed = frozenset({"graph", *written, *map(attribute, absent)})

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; an option is checked and takes effect with the next call, what cannot change is refused."""
        if "_fixed" in self.__dict__:
            value = self._changed(name, value)
        super().__setattr__(name, value)

    def _changed(self, name: str, value: Any) -> Any:
        """A value that an attribute may be set to, once the module is made."""
        if name in self._fixed:
            hint = "its value is written into the code: build another module"
            raise UserError(f"{name} as it was when the module was made", "a new value", hint)
        buffer = next((given for given in self._given if attribute(given) == name), None)
        if buffer is not None and not isinstance(value, nn.Parameter):
            check_buffer(self.graph.signature[buffer], value, dict(self._checker.sizes))
        checks = {"backend": check_backend, "reduction": check_reduction, "ignore_index": self._checked_ignore_index}
        if name in checks:
            value = checks[name](value)
            self._plans.clear()
            self._checker.forget()
        return value

    def _checked_ignore_index(self, value: Any) -> int | None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise UserError("`ignore_index` as an integer or None", repr(value), "give the label to leave out")
        if self._target is None and value not in (None, IGNORE_INDEX):
            hint = f"signature {self.graph.signature.name} has no integer labels"
            raise UserError("no `ignore_index`", str(value), hint)
        return value

    def _take_buffers(self, buffers: Mapping[str, Tensor]) -> dict[str, int]:
        """Register what the signature takes at construction; returns the axis lengths that follow."""
        signature = self.graph.signature
        check_class_weight(self.graph, CLASS_WEIGHT in buffers)
        declared = {buffer.name: buffer for buffer in signature.buffers}
        if unknown := buffers.keys() - declared.keys():
            raise UserError(
                f"buffers among {', '.join(declared) or 'none'}", ", ".join(sorted(unknown)), "correct the name"
            )
        sizes: dict[str, int] = {}
        for name, buffer in declared.items():
            if name not in buffers:
                if self.graph.uses(name):
                    raise UserError(f"buffer {name}[{', '.join(buffer.axes)}]", "none", f"give {name}: {buffer.doc}")
                continue
            value = buffers[name]
            check_buffer(buffer, value, sizes)
            if buffer.learnable:
                self.register_parameter(name, nn.Parameter(value.detach().clone()))
            else:
                self.register_buffer(attribute(name), value)
            self._given.append(name)
        return sizes

    def _take_parameter(self, parameter: Parameter) -> None:
        name = safe(parameter.name)
        if hasattr(self, name):
            raise UserError("a parameter name that nn.Module leaves free", repr(parameter.name), "rename it")
        self.register_parameter(name, nn.Parameter(torch.tensor(parameter.default)))

    def check(self, *inputs: Tensor, sample_weight: Tensor | None = None, **named: Tensor) -> None:
        """Look at what `forward` would be given, values included, and compute nothing.

        Raises `UserError` for what `forward` refuses, and for nan or infinities, values outside an input's range,
        labels that are no class (on any device), probabilities that do not sum to one, boxes with x2 < x1 or y2 < y1,
        negative sample weights, and own tensors that are not finite any more.
        """
        if named:
            inputs = in_order(self.graph.signature, inputs, named)
        geometry = self._checker(inputs)
        if geometry.layout is not None:
            return self.check(
                *geometry.layout.inputs(inputs), sample_weight=geometry.layout.sample_weight(sample_weight)
            )
        return self._check_values(inputs, sample_weight, geometry)

    def _check_values(self, inputs: Sequence[Tensor], sample_weight: Tensor | None, geometry: Geometry) -> None:
        if geometry.integers and not geometry.empty:
            ignores(inputs[self._label_at].cpu(), geometry, self.ignore_index)
        check_values(self.graph, inputs)
        if sample_weight is not None:
            sample_weight_axes(sample_weight, self.graph.root.axes, geometry)
            check_weights("sample_weight", sample_weight)
        for name, value in (*self.named_parameters(), *self.named_buffers()):
            check_finite(name, value.detach())

    def forward(self, *inputs: Tensor, sample_weight: Tensor | None = None, **named: Tensor) -> Tensor:
        """The loss. `sample_weight[batch]` or `[batch, *space]` ≥ 0 weighs elements in the final reduction.

        Inputs may be given by name: the signature's, or PyTorch's `input`, `input1` and `input2`.
        """
        if named:
            inputs = in_order(self.graph.signature, inputs, named)
        if torch.compiler.is_compiling() or is_tracing():
            with quiet_tracing():
                return self._traced(inputs, sample_weight)
        geometry = self._checker(inputs)
        if geometry.layout is not None:
            return self._arranged(geometry.layout, inputs, sample_weight)
        if self.validate:
            self._check_values(inputs, sample_weight, geometry)
        if geometry.empty:
            return self._nothing(inputs, sample_weight, geometry)
        autocast = geometry.autocast and torch.is_autocast_enabled(geometry.device)
        # TorchScript differentiates by itself, unseen by torch.func, whose second derivatives would be wrong.
        eager = self.backend == "torchscript" and peek_interpreter_stack() is not None
        direct = None if autocast or eager or sample_weight is not None else geometry.direct
        if direct is not None and geometry.strict and (found := self._unless_refused(direct, inputs)) is not None:
            return found
        masked = geometry.integers and ignores(inputs[self._label_at], geometry, self.ignore_index)
        if direct is not None and not masked:
            return direct(*inputs)
        if masked:
            geometry.strict = False  # such labels come again: looking first costs less than a kernel run in vain
        if autocast:
            with torch.autocast(geometry.device, enabled=False):
                return self._evaluate(inputs, geometry, masked, sample_weight, autocast, eager)
        return self._evaluate(inputs, geometry, masked, sample_weight, traced=eager)

    def _arranged(self, layout: Layout, inputs: Sequence[Tensor], sample_weight: Tensor | None) -> Tensor:
        """The loss of inputs that lack a batch or a class, or have several axes for the batch."""
        value = self.forward(*layout.inputs(inputs), sample_weight=layout.sample_weight(sample_weight))
        kept = "class" if layout.single else "batch"
        return layout.loss(value) if self.reduction == "none" and kept in self.graph.root.axes else value

    def _traced(self, inputs: Sequence[Tensor], sample_weight: Tensor | None) -> Tensor:
        """The loss inside whatever traces this call: its eager source, as if it were written there.

        Shapes are checked while tracing. Values are not known then, so any label may turn out to be ignored.
        """
        geometry = self._checker.check(inputs)
        if geometry.layout is not None:
            return self._arranged(geometry.layout, inputs, sample_weight)
        if geometry.empty:
            return self._nothing(inputs, sample_weight, geometry)
        masked = may_ignore(geometry, self.ignore_index)
        if not geometry.autocast:
            return self._evaluate(inputs, geometry, masked, sample_weight, autocast=False, traced=True)
        autocast = torch.is_autocast_enabled(geometry.device)
        with torch.autocast(geometry.device, enabled=False):
            return self._evaluate(inputs, geometry, masked, sample_weight, autocast, traced=True)

    def _unless_refused(self, direct: Function, inputs: Sequence[Tensor]) -> Tensor | None:
        """The loss, or None where its kernel refuses a label, or fails in another way: then labels are looked at."""
        if is_functorch_wrapped_tensor(inputs[self._label_at]):
            return None
        try:
            return direct(*inputs)
        except (IndexError, RuntimeError):
            return None

    def _evaluate(
        self,
        inputs: Sequence[Tensor],
        geometry: Geometry,
        masked: bool,
        sample_weight: Tensor | None,
        autocast: bool = False,
        traced: bool = False,
    ) -> Tensor:
        values = dict(zip(self._names, inputs, strict=True))
        for name, x in values.items():
            number = x.is_floating_point() or name in self._numbers
            values[name] = x.to(geometry.dtype) if number else x.long()
        if geometry.integers or geometry.foreground:
            self._prepare_target(values, geometry, masked)
        axes: Axes = ()
        if sample_weight is not None:
            axes = sample_weight_axes(sample_weight, self.graph.root.axes, geometry)
            values[SAMPLE_WEIGHT] = sample_weight.to(geometry.dtype)
        kind = (geometry.labels, masked, axes, bool(geometry.shape))
        if traced:
            plan = getattr(self._inlined, self._inline(*kind, self.reduction))
        else:
            plan = self._plans.get(kind) or self._plan(*kind)
        for name in plan.buffers:
            values[name] = getattr(self, attribute(name)).to(geometry.dtype)
        for parameter in self.graph.parameters:
            values[parameter.name] = _held(getattr(self, safe(parameter.name)), parameter)
        if not (traced or masked or axes or self.graph.parameters or self.reduction == "none"):
            unchanged = all(values[name] is x for name, x in zip(self._names, inputs, strict=True))
            geometry.direct = plan.shortcut(self, self._names, geometry.shape, geometry.dtype) if unchanged else None
            is_class = self.ignore_index is not None and 0 <= self.ignore_index < geometry.classes
            geometry.strict = plan.strict and geometry.device == "cpu" and not is_class
        plan.flatten(values, geometry.shape)
        result = plan.call(values, geometry.shape, autocast)
        if plan.flat and self.reduction == "none" and self.graph.root.axes[-1:] == ("space",):
            return result.reshape(*result.shape[:-1], *geometry.shape)
        return result

    def _prepare_target(self, values: dict[str, Tensor], geometry: Geometry, masked: bool) -> None:
        """Note what is kept of a target of integers, and give a single class or indicators as probabilities."""
        name = self._names[self._label_at]
        target = values[name]
        if geometry.channel and not geometry.foreground:  # zeros and ones of each class
            values[name] = present(target, geometry.lowest, geometry.dtype)
            return
        if geometry.channel:
            target = target.squeeze(1)
        if masked:
            kept = target != self.ignore_index
            values["mask"] = kept.to(geometry.dtype)
            target = target * kept  # any class will do for what is ignored
        if geometry.foreground and geometry.integers:
            target = present(target, geometry.lowest, geometry.dtype)
        values[name] = target.unsqueeze(1) if geometry.foreground else target

    def _plan(self, labels: bool, masked: bool, axes: Axes, space: bool) -> CallPlan:
        """Compile what one kind of call needs."""
        made = self._planned(labels, masked, axes, space, self.backend)
        self._plans[labels, masked, axes, space] = made
        return made

    def _inline(self, labels: bool, masked: bool, axes: Axes, space: bool, reduction: Reduction) -> str:
        """Make what one kind of call runs where it is traced; returns the name under which `_inlined` has it."""
        name = f"{labels=}, {masked=}, {axes=}, {space=}, {reduction=}"
        if not hasattr(self._inlined, name):
            setattr(self._inlined, name, self._planned(labels, masked, axes, space, "eager"))
        return name

    # To torch.compile the name is a constant, so that it does not trace how source is made. This is all that
    # `torch.compiler.assume_constant_result` does, except that it imports the whole compiler first.
    _inline._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]

    def _planned(self, labels: bool, masked: bool, axes: Axes, space: bool, backend: Backend) -> CallPlan:
        variant = Variant(labels, masked, self._scales, axes, space, strict=True)
        return plan_call(self.graph, variant, self.reduction, backend, held=self._given, spatial=self._spatial)

    def _nothing(self, inputs: Sequence[Tensor], sample_weight: Tensor | None, geometry: Geometry) -> Tensor:
        """The loss of an empty batch: zero, or no elements; inputs and parameters get a zero gradient from it."""
        given = [*inputs, *self.parameters()]
        if sample_weight is not None:
            sample_weight_axes(sample_weight, self.graph.root.axes, geometry)
            given.append(sample_weight)
        # The sum of none of their elements.
        zero = torch.stack([x.reshape(-1)[:0].sum().to(geometry.dtype) for x in given]).sum()
        if self.reduction != "none" or not self.graph.root.axes:
            return zero
        leading = [geometry.sizes.get(axis.rstrip("'"), 0) for axis in self.graph.root.axes if axis != "space"]
        spatial = geometry.shape if "space" in self.graph.root.axes else ()
        return zero.expand([*leading, *spatial])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Class weights under the name that they had in states saved before they were called `weight`."""
        former = state_dict.pop(f"{prefix}{CLASS_WEIGHT}", None)
        if former is not None:
            state_dict[f"{prefix}{attribute(CLASS_WEIGHT)}"] = former
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _replicate_for_data_parallel(self) -> LossModule:
        # A replica has buffers of its own; what this module's checker remembers looks them up in this module.
        replica = super()._replicate_for_data_parallel()
        replica._checker = copy(self._checker)
        return replica

    def __getstate__(self) -> dict[str, Any]:
        # Compiled functions cannot be copied or pickled; they are made again when needed, by each copy for its options.
        return {**self.__dict__, "_plans": {}, "_inlined": SimpleNamespace(), "_checker": copy(self._checker)}

    def extra_repr(self) -> str:
        """Formula and options, for `print(module)`."""
        text = format_graph(self.graph)
        return f"{self.name}, {text}, reduction={self.reduction!r}, backend={self.backend!r}"


def _held(value: Tensor, parameter: Parameter) -> Tensor:
    """The parameter held in its bounds; its gradient passes, so that it can come back from beyond."""
    return value.detach().clamp(parameter.lower, parameter.upper) + (value - value.detach())
