"""A loss as a Python file of its own: one `nn.Module`, torch its only import, written to be read.

The same text, imported, is what the TorchScript and torch.export files are made from.
"""

from __future__ import annotations

import inspect
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from lossearch.compile.class_weights import CLASS_WEIGHT, attribute, label_axes
from lossearch.compile.export import under_autocast
from lossearch.compile.export.arranged import ARRANGED, ROWS, forward
from lossearch.compile.export.checks import checks, helpers, nothing, sizing
from lossearch.compile.export.describe import Shorter, docstring
from lossearch.compile.export.forms import Exportable, ExportPlan, Form
from lossearch.compile.export.reduction import reduce_method
from lossearch.compile.input_checker import present
from lossearch.compile.layout import takes_rows
from lossearch.compile.module import IGNORE_INDEX
from lossearch.compile.names import safe
from lossearch.compile.reduction import check_batchmean, check_reduction
from lossearch.compile.source import LONGEST_LINE, Source, definition
from lossearch.compile.targets import takes_signs
from lossearch.errors import UserError
from lossearch.ir.core.axes import align
from lossearch.ir.core.graph import Parameter
from lossearch.ir.core.signature import Input
from lossearch.reading import LARGEST_WHOLE
from lossearch.version import __version__

COMPUTED = "compute"
"""The method that computes the loss of sound inputs."""

TRACED = "given"
"""What is otherwise `forward`, in a traced module."""


def class_name(name: str) -> str:
    """`focal_tversky` becomes `FocalTverskyLoss`."""
    camel = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    camel = unicodedata.normalize("NFKC", camel)  # as Python reads it
    camel = camel if camel.endswith("Loss") else f"{camel}Loss"
    return camel if camel.isidentifier() else f"Loss{camel}"


def standalone(
    loss: Exportable,
    reduction: str = "mean",
    ignore_index: int | None = IGNORE_INDEX,
    traced: bool = False,
    shorter: Shorter | None = None,
) -> str:
    """The source of the file; `reduction` and `ignore_index` are the defaults of the module's constructor.

    The docstring of the module tells a `shorter` form.

    A module that is to be `traced` does not branch for an empty batch, since torch.export follows one branch only: it
    computes the loss of what there is, and gives zero in its place where that is nothing.
    """
    plan = ExportPlan(loss.graph.frozen(), traced)
    check_batchmean(reduction, plan.graph.root.axes)
    label = IGNORE_INDEX if ignore_index is None else ignore_index
    if isinstance(label, bool) or not isinstance(label, int) or abs(label) > LARGEST_WHOLE:
        raise UserError("`ignore_index` as an integer of 64 bits", f"{label!r:.80}", "give the label to leave out")
    return _Writer(loss, plan, check_reduction(reduction), label, shorter).text


@dataclass(frozen=True)
class _Writer:
    """The file, piece by piece."""

    loss: Exportable
    plan: ExportPlan
    reduction: str
    ignore_index: int
    shorter: Shorter | None

    @cached_property
    def text(self) -> str:
        """The whole file."""
        called = dict.fromkeys(helper.strip() for source in self.plan.functions for helper in source.helpers)
        functions = [self._function(source) for source in self.plan.functions]
        arranging = [ROWS] if takes_rows(self.plan.graph) else []
        arranging += [inspect.getsource(present).strip()] if self.plan.by_class else []
        parts = [
            *helpers(self.plan),
            *arranging,
            *called,
            *([_HELD] if self.plan.graph.parameters else []),
            *([under_autocast.HELPER] if self.plan.products and not self.plan.traced else []),
            *functions,
            self._class(),
        ]
        body = "\n\n\n".join(parts).replace("List[", "list[")
        imports = ["import math\n"] if "math." in body else []
        imports += ["import torch"]
        imports += ["import torch.nn.functional as F"] if "F." in body.replace("self.F.", "") else []
        head = f'"""{self.name} for PyTorch, written by lossearch {__version__}; it needs nothing but torch."""'
        return f"{head}\n\n" + "\n".join([*imports, "from torch import Tensor, nn"]) + f"\n\n\n{body}\n"

    @property
    def name(self) -> str:
        """Name of the module class."""
        return class_name(self.loss.name)

    def _function(self, source: Source) -> str:
        body = tuple(_formatted(line) for line in source.body)
        return Source(source.name, source.arguments, body, doc=source.doc, results=source.results).text.strip()

    def _class(self) -> str:
        lines = [f"class {self.name}(nn.Module):", *_indented(list(docstring(self.loss, self.plan, self.shorter)))]
        declared = [name for name in self.plan.buffers if not self.plan.graph.signature[name].learnable]
        lines += [""] if declared else []
        for name in declared:
            lines.append(f"    {attribute(name)}: Tensor" + ("" if self.plan.graph.uses(name) else " | None"))
        blank = [""]
        return "\n".join(
            [
                *lines,
                *blank,
                *self._init(),
                *blank,
                *self._methods(),
                *blank,
                *self._empty(),
                *blank,
                *_indented(reduce_method(self.plan)),
            ]
        )

    def _init(self) -> list[str]:
        buffers = [(name, safe(attribute(name))) for name in self.plan.buffers]
        required = [f"{argument}: Tensor" for name, argument in buffers if self.plan.graph.uses(name)]
        arguments = ["self", *required, f'reduction: str = "{self.reduction}"']
        arguments += [
            f"{argument}: Tensor | None = None" for name, argument in buffers if not self.plan.graph.uses(name)
        ]
        if self.plan.target is not None:
            arguments.append(f"ignore_index: int = {self.ignore_index}")
        head = [f"def __init__({', '.join(arguments)}) -> None:"]
        if len(head[0]) > _WIDEST:
            head = ["def __init__(", f"    {', '.join(arguments)}", ") -> None:"]
        lines = [*head, "    super().__init__()"]
        known = ", ".join(f'"{reduction}"' for reduction in self.plan.reductions)
        *others, last = self.plan.reductions
        spelled = f"{', '.join(others)} or {last}"
        lines += [f"    if reduction not in ({known}):"]
        lines += [f'        raise ValueError(f"reduction must be {spelled}, not {{reduction!r}}")']
        lines += ["    self.reduction = reduction"]
        lines += ["    self.ignore_index = ignore_index"] if self.plan.target is not None else []
        lines += [
            f"    self.{safe(name)} = nn.Parameter({argument}.detach().clone())"
            if self.plan.graph.signature[name].learnable
            else f'    self.register_buffer("{attribute(name)}", {argument})'
            for name, argument in buffers
        ]
        lines += [
            f"    self.{safe(p.name)} = nn.Parameter(torch.tensor({p.default!r}))" for p in self.plan.graph.parameters
        ]
        return list(_indented(lines))

    def _methods(self) -> list[str]:
        """`forward`, and what it calls once the inputs have the axes of the signature."""
        arranged = forward(self.plan)
        lines = [*_indented(arranged), "", *self._forward(ARRANGED)] if arranged else self._forward("forward")
        return [line.replace("def forward(", f"def {TRACED}(") for line in lines] if self.plan.traced else lines

    def _empty(self) -> list[str]:
        """What an empty batch gives: a method of its own, or in a traced module `forward`, around all others."""
        if not self.plan.traced:
            return list(_indented(nothing(self.plan)))
        inputs = [safe(declared.name) for declared in self.plan.graph.signature.forward_inputs]
        lines = [
            f"loss = self.{TRACED}({', '.join(inputs)})",
            _some(inputs[0]),
            "return torch.where(some, loss, torch.zeros_like(loss))",
        ]
        arguments = ["self", *(f"{name}: Tensor" for name in inputs)]
        return list(_indented(definition("forward", arguments, "Tensor", lines, indent=4)))

    def _forward(self, method: str) -> list[str]:
        inputs = [safe(declared.name) for declared in self.plan.graph.signature.forward_inputs]
        arguments = ["self", *(f"{name}: Tensor" for name in inputs)]
        checked = checks(self.plan)
        if not self.plan.traced:
            checked += [f"if {' * '.join(f'{name}.numel()' for name in sizing(self.plan))} == 0:"]
            checked += [f"    return self.nothing({', '.join(inputs)})"]
        # The dtypes of a traced module are settled when it is traced.
        checked += [] if self.plan.traced else under_autocast.in_double(self.plan, COMPUTED)
        checked += [f"return self.{COMPUTED}({', '.join(inputs)})"]
        lines = [_some(inputs[0])] if self.plan.traced and self._learnable else []
        lines += self._converted()
        if self.plan.target is None:
            lines += self._ending(self.plan.forms[0])
        else:
            lines += self._by_class() if self.plan.by_class else self._by_kind()
        methods = [(method, checked), (COMPUTED, under_autocast.outside(self.plan, lines))]
        first, second = (definition(name, arguments, "Tensor", body, indent=4) for name, body in methods)
        return list(_indented([*first, "", *second]))

    def _converted(self) -> Iterator[str]:
        """Lines that bring all inputs but a target with classes to one dtype, and make their spatial axes one."""
        inputs = self.plan.graph.signature.forward_inputs
        widest = "torch.float32"
        for declared in inputs:
            if declared.kind == "real":  # integers change nothing
                yield f"dtype = torch.promote_types({widest}, {safe(declared.name)}.dtype)"
                widest = "dtype"
        if self.plan.by_class:
            assert self.plan.target is not None
            yield f"channel = {safe(self.plan.target.name)}.dim() == {self.plan.scores}.dim()"
        for declared in inputs:
            if declared is not self.plan.target:
                name = safe(declared.name)
                yield f"{name} = {name}.{'to(dtype)' if declared.kind == 'real' else 'long()'}"
                yield from self._flattened(declared)

    def _by_kind(self) -> Iterator[str]:
        """Lines for a target that is a distribution where it is floating, and labels where not."""
        assert self.plan.target is not None
        name, (probabilities, labels) = safe(self.plan.target.name), self.plan.forms
        yield f"if {name}.is_floating_point():"
        soft = [f"{name} = {name}.to(dtype)", *self._flattened(self.plan.target), *self._ending(probabilities)]
        yield from (f"    {line}" for line in soft)
        yield from [f"{name} = {name}.long()", *self._kept(name), *self._ending(labels)]

    def _by_class(self) -> Iterator[str]:
        """Lines for a target of each class by itself: shares, zeros and ones, the mask of a single class, or labels."""
        assert self.plan.target is not None
        target, scores, lowest = self.plan.target, self.plan.scores, -1 if takes_signs(self.plan.graph) else 0
        name, (probabilities, labels, kept) = safe(target.name), self.plan.forms
        yield f"if {name}.is_floating_point() or (channel and {scores}.shape[1] != 1):"
        given = f"{name}.to(dtype) if {name}.is_floating_point() else present({name}.long(), {lowest}, dtype)"
        yield f"    {name} = {given}"
        yield f"    {name} = {name} if channel else {name}.unsqueeze(1)"
        yield from (f"    {line}" for line in (*self._flattened(target), *self._ending(probabilities)))
        yield f"{name} = {name}.long().squeeze(1) if channel else {name}.long()"
        yield from self._kept(name)
        yield f"if {scores}.shape[1] == 1:  # 1 where the class is, 0 elsewhere"
        yield f"    {name} = present({name}, {lowest}, dtype).unsqueeze(1)"
        yield from (f"    {line}" for line in self._ending(kept))
        yield from self._ending(labels)

    def _kept(self, name: str) -> Iterator[str]:
        """Lines that take the labels to ignore out of a target."""
        assert self.plan.target is not None
        yield f"kept = {name} != self.ignore_index"
        yield f"{name} = torch.where(kept, {name}, 0)  # any class will do for what is left out"
        yield "mask = kept.to(dtype)"
        yield from self._flattened(self.plan.target, labels=True)

    def _flattened(self, declared: Input, labels: bool = False) -> list[str]:
        """Lines that make the spatial axes of an input one."""
        if not self.plan.flat or "space" not in declared.axes:
            return []
        name, rank = safe(declared.name), len(declared.axes) - 1 - labels
        lines = [f"{name} = {name}.unsqueeze(-1).flatten({rank})"]
        if labels:
            lines.append(f"mask = mask.unsqueeze(-1).flatten({rank})")
        if declared is self.plan.graph.signature.forward_inputs[0] and self.plan.needs_shape:
            lines.insert(0, f"shape = {name}.shape[{rank}:]")
        return lines

    def _ending(self, form: Form) -> list[str]:
        """Lines from prepared inputs to the reduced loss."""
        call = f"{form.source.name}({', '.join(self._passed(form.source))})"
        factors = ["weight"] if form.weight is not None else []
        plain = [f"loss, weight = {call}" if factors else f"loss = {call}"]
        factors = [align("weight", form.weight or (), form.root) for _ in factors]
        if form.kept:
            assert self.plan.target is not None
            factors.append(align("mask", label_axes(self.plan.target), form.root))
        if not self.plan.scales:
            return [*plain, self._returned(factors)]
        given = ["class_weight = self.weight", "if class_weight is not None:"]
        given += [f"    {line}" for line in self._with_class_weights(form, factors)]
        # A function with class weights in it stands in the place of the other one.
        lines = [*plain, *given] if form.weighted is None else [*given, *plain]
        return [*lines, self._returned(factors)]

    def _with_class_weights(self, form: Form, factors: Sequence[str]) -> list[str]:
        """Lines for where class weights are given."""
        if form.weighted is None:
            return [self._rescaled(form) if self.plan.rescales else self._scaled(form, factors)]
        assigned = "loss, weight" if form.weight is not None else "loss"
        passed = ", ".join(self._passed(form.weighted))
        call = [f"{assigned} = {form.weighted.name}({passed})"]
        if (
            len(call[0]) + (16 if form.labels else 20) > LONGEST_LINE
        ):  # inside class, method, `with` and one `if` or two
            call = [f"{assigned} = {form.weighted.name}(", f"    {passed}", ")"]
        if not form.shared:
            return [*call, self._returned(factors)]
        assert self.plan.target is not None
        share = align(f"{_CLASS_WEIGHT}[{safe(self.plan.target.name)}]", label_axes(self.plan.target), form.root)
        return [*call, self._returned(factors, share)]

    def _scaled(self, form: Form, factors: Sequence[str]) -> str:
        """What is returned where class weights multiply the loss."""
        assert self.plan.target is not None
        if self.plan.target.labels in form.root:
            return self._returned([*factors, align(_CLASS_WEIGHT, (self.plan.target.labels,), form.root)])
        chosen = f"{_CLASS_WEIGHT}[{safe(self.plan.target.name)}]"
        return self._returned([*factors, align(chosen, label_axes(self.plan.target), form.root)])

    def _rescaled(self, form: Form) -> str:
        """What a loss of each element and class becomes: its mean does not divide by the weights."""
        assert self.plan.target is not None
        assert self.plan.target.labels is not None
        at = form.root.index(self.plan.target.labels)
        # Whatever the number of spatial axes.
        return f"loss = (loss.movedim({at}, -1) * {_CLASS_WEIGHT}).movedim(-1, {at})"

    def _returned(self, factors: Sequence[str], share: str = "") -> str:
        arguments = ["loss", *([" * ".join(factors)] if factors else [])]
        if self.plan.restores:
            arguments = ["loss", " * ".join(factors) or "None"] if self.plan.weighs else ["loss"]
            arguments.append("shape")
        arguments += [f"share={share}"] if share else []
        return f"return self.reduce({', '.join(arguments)})"

    @property
    def _learnable(self) -> set[str]:
        """Names of what gets a gradient and is no input."""
        buffers = {buffer.name for buffer in self.plan.graph.signature.buffers if buffer.learnable}
        return buffers | {parameter.name for parameter in self.plan.graph.parameters}

    def _passed(self, source: Source) -> Iterator[str]:
        for argument, value in zip(source.arguments, self._values(source), strict=True):
            # The gradient of an empty batch's mean is nan, which would reach what has entries all the same.
            guarded = self.plan.traced and argument.name in self._learnable
            yield f"torch.where(some, {value}, 0.0)" if guarded else value

    def _values(self, source: Source) -> Iterator[str]:
        parameters = {parameter.name: parameter for parameter in self.plan.graph.parameters}
        buffers = {buffer.name for buffer in self.plan.graph.signature.buffers}
        for argument in source.arguments:
            if argument.name in parameters:
                yield _bounded(parameters[argument.name])
            else:
                # Optional class weights are a variable by then.
                held = "class_weight" if argument.name == CLASS_WEIGHT and self.plan.scales else None
                held = held or f"self.{attribute(argument.name)}"
                yield f"{held}.to(dtype)" if argument.name in buffers else argument.variable


_SIMPLE_POWER = re.compile(r"(?<![\w.)\]])([\w.]+) \*\* (-?[\w.]+)(?![\w.(\[])")


def _formatted(line: str) -> str:
    """Formatters write powers of single names and numbers without spaces, and exponents without plus."""
    line = re.sub(r"\b(\d[\d.]*e)\+(\d+)\b", r"\1\2", line.replace("'", '"'))
    return _SIMPLE_POWER.sub(r"\1**\2", line)


def _some(name: str) -> str:
    """A line of a traced module that tells an empty batch."""
    return f"some = torch.scalar_tensor({name}.numel(), device={name}.device) > 0"


_WIDEST = 110
"""Characters of a line in a class, whose methods are indented by four."""

_CLASS_WEIGHT = "class_weight.to(loss.dtype)"

_HELD = '''
def held(value: Tensor, lower: float, upper: float) -> Tensor:
    """The value held in [lower, upper]; its gradient passes, so that it can come back from beyond."""
    return value.detach().clamp(lower, upper) + (value - value.detach())
'''.strip()


def _bounded(parameter: Parameter) -> str:
    return f"held(self.{safe(parameter.name)}, {parameter.lower!r}, {parameter.upper!r})"


def _indented(lines: Sequence[str]) -> Iterator[str]:
    return (f"    {line}" if line else "" for line in lines)
