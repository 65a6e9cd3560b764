"""The registry of hand-designed losses: name, signature, source, parameters, and the function that traces the graph."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.signature import Signature, get_signature
from lossearch.ir.operators import functions as fn
from lossearch.listing import html_formula, html_table
from lossearch.loss import Loss
from lossearch.registry import Registry
from lossearch.zoo.families import family_names, family_of

Numbers = float | tuple[float, ...]
Option = str | bool | Numbers
Trace = Callable[..., Expr | tuple[Expr, Expr]]


class Each(float):
    """The default of an option that is a number, or one number for each entry of an axis in a list or tensor."""


ONE = Each(1.0)


class Order(float):
    """The default of an option that is the order of a norm, which may be infinite: the largest entry."""


@dataclass(frozen=True)
class Entry:
    """One hand-designed loss.

    Attributes:
        name: Name of the loss, and of the function that traces it.
        signature: Inputs of its task family.
        source: Author and year.
        parameters: Numbers with defaults and bounds.
        options: Choices that change the graph, with their defaults.
        trace: From inputs, parameters and options to the root, or to root and element weight.
        variants: By option and value: the signature in place of this one. By parameter and axis: that in which several
            values of the parameter, one for each entry along the axis, take its place.
        limits: By parameter and value: what traces the loss where its formula has no value but a limit.
    """

    name: str
    signature: Signature
    source: str
    parameters: tuple[Parameter, ...]
    options: tuple[tuple[str, Option], ...]
    trace: Trace
    limits: Mapping[tuple[str, float], Trace] = field(default_factory=dict)
    variants: Mapping[tuple[str, Option], str] = field(default_factory=dict)

    @property
    def doc(self) -> str:
        """What the loss computes, in full."""
        return inspect.getdoc(self.trace) or ""

    @property
    def summary(self) -> str:
        """What the loss computes, in one line."""
        return self.doc.splitlines()[0]

    def _repr_html_(self) -> str:
        values = {parameter.name: f"{parameter.default:g}" for parameter in self.parameters} | dict(self.options)
        row = {
            "name": self.name,
            "family": self.signature.family,
            "inputs": ", ".join(declared.name for declared in self.signature.inputs),
            "arguments": ", ".join(f"{name}={value}" for name, value in values.items()),
            "source": self.source,
            "summary": self.summary,
        }
        return html_table(tuple(row), [row]) + html_formula(self.build().latex())

    def build(self, **arguments: Any) -> Loss:
        """The loss with the given parameter values and options; raises `UserError` for what it does not take."""
        options: dict[str, Any] = dict(self.options)
        values = {name: value for name, value in arguments.items() if name not in options}
        parameters = {parameter.name: parameter for parameter in self.parameters}
        if unknown := sorted(values.keys() - parameters.keys()):
            takes = ", ".join([*parameters, *options]) or "no arguments"
            raise UserError(f"arguments of {self.name}: {takes}", ", ".join(unknown), "correct the argument")
        options.update((n, _option(n, value, options[n])) for n, value in arguments.items() if n in options)
        nodes = {name: parameter.node for name, parameter in parameters.items()}
        signature = self.signature
        for (name, key), other in self.variants.items():
            if options.get(name) == key:
                signature = get_signature(other)
            elif name in parameters and (several := _several(values.get(name))) is not None:
                signature = get_signature(other)
                nodes[name] = _along(parameters[name], several, signature, str(key))
                del values[name]
        nodes = signature.nodes() | nodes
        trace = self.trace
        for (name, value), at_limit in self.limits.items():
            if isinstance(given := values.get(name), numbers.Real) and given == value:
                trace = at_limit
                del values[name]
        traced = trace(*(nodes[name] for name in operand_names(trace)), **options)
        root, weight = traced if isinstance(traced, tuple) else (traced, None)
        kept = _occurring(self.parameters, [root] if weight is None else [root, weight])
        if idle := sorted(values.keys() - {parameter.name for parameter in kept}):
            chosen = ", ".join(f"{name}={value!r}" for name, value in options.items())
            raise UserError(f"arguments of {self.name} that have an effect with {chosen}", ", ".join(idle), "drop them")
        graph = Graph(signature, root, kept, weight)
        return Loss(self.name, graph.bind({name: _number(name, value) for name, value in values.items()}), self.source)


def _occurring(parameters: Sequence[Parameter], roots: Sequence[Expr]) -> tuple[Parameter, ...]:
    """The parameters that an expression has: an option may leave some out."""
    leaves = frozenset().union(*(root.leaves for root in roots))
    return tuple(parameter for parameter in parameters if parameter.node in leaves)


def _several(value: Any) -> tuple[Any, ...] | None:
    """The entries of a list, tuple or tensor; None for a single number."""
    given = value.tolist() if hasattr(value, "tolist") else value
    return tuple(given) if isinstance(given, (list, tuple)) else None


def _along(parameter: Parameter, values: Sequence[Any], signature: Signature, axis: str) -> Expr:
    """Several values of a parameter along an axis, each one for which the loss is defined."""
    checked = [parameter.at(_number(parameter.name, value)).default for value in values]
    if not checked:
        raise UserError(f"at least one {parameter.name}", "none", "give a number, or several")
    like = next(declared.node for declared in signature.forward_inputs if axis in declared.axes)
    return fn.along(like, axis, checked)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise UserError(f"a number for {name}", repr(value), "give a number within the parameter's bounds")
    return float(value)


def _option(name: str, value: Any, default: Option) -> Any:
    """A choice as it is: its loss knows the choices; a number of the default's kind, or several where it has `Each`."""
    if isinstance(default, Each):
        several = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(several, (list, tuple)):
            return tuple(_number(name, one) for one in several) or _number(name, several)
        return _number(name, several)
    if isinstance(default, (bool, str)):
        return value
    if isinstance(default, Order) and value in (math.inf, "inf"):
        return math.inf
    kind, required = (int, "an integer") if isinstance(default, int) else ((int, float), "a number")
    if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
        raise UserError(f"{required} for {name}", repr(value), f"give one, such as {default}")
    return value


ENTRIES: Registry[Entry] = Registry("a hand-designed loss")
"""Every hand-designed loss by name, in the order of declaration."""


def hand_designed(
    *,
    signature: str,
    source: str,
    parameters: Sequence[Parameter] = (),
    limits: Mapping[tuple[str, float], Trace] | None = None,
    variants: Mapping[tuple[str, Option], str] | None = None,
) -> Callable[[Trace], Trace]:
    """Register a function over nodes as a hand-designed loss under its own name.

    Its positional parameters are found by name among the signature's inputs and `parameters`; its keyword-only
    parameters are options. It returns the root, or root and element weight. `limits` names values of parameters at
    which another function traces the loss, since the formula itself has no value there. `variants` names the signature
    that a value of an option asks for, or several values of a parameter along an axis. Raises `UserError` for a name
    that is taken, an unknown argument, or a missing docstring.
    """

    def decorate(trace: Trace) -> Trace:
        name = trace.__name__
        if not inspect.getdoc(trace):
            raise UserError("a docstring on a hand-designed loss", name, "say what it computes and who proposed it")
        entry = Entry(
            name,
            get_signature(signature),
            source,
            tuple(parameters),
            _options(trace),
            trace,
            limits or {},
            variants or {},
        )
        known = {*entry.signature.nodes(), *(parameter.name for parameter in parameters)}
        for operand in operand_names(trace):
            if operand not in known:
                raise UserError(f"arguments of {name} among {sorted(known)}", operand, "rename or declare it")
        ENTRIES.add(name, entry)
        return trace

    return decorate


def operand_names(trace: Trace) -> list[str]:
    """Names of the expression arguments of a tracing function."""
    return [p.name for p in inspect.signature(trace).parameters.values() if p.kind is not p.KEYWORD_ONLY]


def _options(trace: Trace) -> tuple[tuple[str, Option], ...]:
    keywords = [p for p in inspect.signature(trace).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for keyword in keywords:
        if keyword.default is keyword.empty:
            raise UserError(f"a default for option {keyword.name} of {trace.__name__}", "none", "give one")
    return tuple((keyword.name, keyword.default) for keyword in keywords)


def each(numbers: Numbers, like: Expr, axis: str) -> Expr:
    """A number, or numbers along an axis of `like`, as an expression."""
    return fn.along(like, axis, numbers) if isinstance(numbers, tuple) else fn.constant(numbers)


def within(option: str, numbers: Numbers, lower: float, upper: float = math.inf) -> Numbers:
    """Numbers that an option takes; raises `UserError` for one outside [lower, upper]."""
    for number in numbers if isinstance(numbers, tuple) else (numbers,):
        if not lower <= number <= upper:
            required = f"{option} ≥ {lower:g}" if math.isinf(upper) else f"{option} in [{lower:g}, {upper:g}]"
            raise UserError(required, f"{number:g}", f"correct {option}")
    return numbers


def choose(option: str, value: Any, choices: dict[Any, Any]) -> Any:
    """What an option's value stands for; raises `UserError` for a value that is not a choice."""
    try:
        return choices[value]
    except (KeyError, TypeError):
        known = ", ".join(map(repr, choices))
        raise UserError(f"{option} among {known}", repr(value), "choose one of them") from None


def names(family: str | None = None, *, signature: str | None = None) -> list[str]:
    """Names of the hand-designed losses: of one task family, of one signature within it, or all."""
    return [entry.name for entry in entries(family, signature=signature)]


def entries(family: str | None = None, *, signature: str | None = None) -> list[Entry]:
    """Declarations of the hand-designed losses: of one task family, of one signature, or all; families together.

    A family goes by its common names, too, such as `segmentation`; raises `UserError` for an unknown one.
    """
    chosen = family_names() if family is None else [family_of(family)]
    wanted = None if signature is None else get_signature(signature)
    return [
        entry
        for name in chosen
        for entry in ENTRIES.values()
        if entry.signature.family == name and wanted in (None, entry.signature)
    ]


def entry(name: str) -> Entry:
    """The declaration of this name; raises `UserError` with close matches."""
    return ENTRIES.find(name)


def get(name: str, **arguments: Any) -> Loss:
    """The hand-designed loss of this name, with parameter values and options by keyword."""
    return entry(name).build(**arguments)
