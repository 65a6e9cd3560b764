"""What a standalone file computes: one function per kind of target, and how its result is weighed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from lossearch.compile.class_weights import (
    CLASS_WEIGHT,
    divides_by_labels,
    label_axes,
    one_vs_rest,
    weighted_inside,
)
from lossearch.compile.export.extending import with_neutral_entry
from lossearch.compile.export.origins import origins
from lossearch.compile.names import safe
from lossearch.compile.source import Source, emit_roots
from lossearch.compile.targets import class_by_class
from lossearch.compile.variant import Variant, lowered_for, tidied
from lossearch.ir.core.axes import Axes, without
from lossearch.ir.core.expr import Expr, map_nodes
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import Input
from lossearch.ir.rewriting.lowering import label_input
from lossearch.ir.rewriting.masking import mask_node


class Exportable(Protocol):
    """What a loss must tell about itself to be written to a file; `lossearch.loss.Loss` does."""

    @property
    def name(self) -> str:
        """An identifier."""
        ...

    @property
    def graph(self) -> Graph:
        """What is computed."""
        ...

    @property
    def source(self) -> str:
        """Where the loss comes from, or nothing."""
        ...

    def to_text(self) -> str:
        """The one-line form."""
        ...

    def to_json(self) -> str:
        """The exchange form."""
        ...

    def latex(self) -> str:
        """The formula."""
        ...


@dataclass(frozen=True)
class Form:
    """The function for one kind of target, and how the module's `forward` weighs its result.

    Attributes:
        source: From inputs to the unreduced loss and, where there is one, its weight.
        root: Axes of the loss.
        weight: Axes of the weight that the function returns, or None.
        kept: Whether `forward` multiplies by the mask itself, since it has the axes of single elements.
        labels: Whether the target is integer labels.
        weighted: The function with class weights in it, where they do not simply weigh the elements.
        shared: Whether a mean of that divides by the weights of the labels.
    """

    source: Source
    root: Axes
    weight: Axes | None
    kept: bool
    labels: bool
    weighted: Source | None = None
    shared: bool = False

    @property
    def sources(self) -> list[Source]:
        """Every function of the form."""
        return [self.source] if self.weighted is None else [self.source, self.weighted]

    @property
    def flat(self) -> bool:
        """Whether a function needs the spatial axes as one."""
        return any(source.flat for source in self.sources)


@dataclass(frozen=True)
class ExportPlan:
    """A graph taken apart for a standalone file; one that is to be `traced` computes a loss of an empty batch, too."""

    graph: Graph
    traced: bool = False

    @cached_property
    def target(self) -> Input | None:
        """The input that may be integer labels."""
        return label_input(self.graph)

    @cached_property
    def forms(self) -> list[Form]:
        """One function, or one for probabilities and one for labels."""
        if self.target is None:
            return [self._form(False, "unreduced_loss", "The loss before its reduction.")]
        probabilities = self._form(False, "loss_of_probabilities", "The loss before its reduction, for probabilities.")
        labels = self._form(True, "loss_of_labels", "The loss before its reduction, for integer labels.", masked=True)
        if not self.by_class:
            return [probabilities, labels]
        doc = "The loss before its reduction, for probabilities of which some are left out."
        kept = self._form(False, "loss_of_kept_probabilities", doc, masked=True)
        if [one.body for one in kept.sources] == [one.body for one in probabilities.sources]:
            # The mask weighs elements in the reduction alone.
            kept = replace(kept, source=probabilities.source, weighted=probabilities.weighted)
        return [probabilities, labels, kept]

    @property
    def functions(self) -> list[Source]:
        """Every function of the file, once."""
        return list({source.name: source for form in self.forms for source in form.sources}.values())

    @property
    def products(self) -> bool:
        """Whether a function multiplies matrices."""
        return any(source.products for source in self.functions)

    @property
    def by_class(self) -> bool:
        """Whether the loss judges each class by itself, and so takes a single one too."""
        return class_by_class(self.graph)

    @property
    def scores(self) -> str | None:
        """The input, as a variable, whose second axis is the classes of the target."""
        if self.target is None:
            return None
        inputs = (one for one in self.graph.signature.forward_inputs if one is not self.target)
        return next((safe(one.name) for one in inputs if one.axes[1:2] == (self.target.labels,)), None)

    def _form(self, labels: bool, name: str, doc: str, masked: bool = False) -> Form:
        variant = Variant(labels=labels, masked=masked)
        source, root, weight, kept = self._function(variant, name, doc)
        form = Form(source, root, weight, kept, labels)
        if not self.scales or weighted_inside(self.graph, labels) is None:
            return form
        within = replace(variant, class_weight=True)
        doc = f"{doc[:-1]}, with class weights."
        weighted, *_ = self._function(within, f"weighted_{name}", doc)
        return replace(form, weighted=weighted, shared=divides_by_labels(self.graph, labels))

    def _function(self, variant: Variant, name: str, doc: str) -> tuple[Source, Axes, Axes | None, bool]:
        """Source, axes of the loss and of its weight, and whether the mask is left to `forward`."""
        lowered = lowered_for(self.graph, variant)
        plain = None if self.target is None else mask_node(label_axes(self.target))
        inside = [weight for weight in lowered.weights if weight is not plain]
        product: Expr | None = None
        for weight in inside:
            product = weight if product is None else product * weight
        roots = tidied([lowered.root] if product is None else [lowered.root, product], variant.labels)
        if self.traced:
            roots = map_nodes(roots, with_neutral_entry)
        order = [declared.name for declared in self.graph.signature.inputs]
        learnable = {parameter.name for parameter in self.graph.parameters}
        nouns = origins(self.graph, roots, variant.labels, variant.masked)
        source = emit_roots(roots, order, learnable, name, doc, nouns)
        axes = None if product is None else product.axes
        return source, lowered.root.axes, axes, len(inside) < len(lowered.weights)

    @property
    def reductions(self) -> tuple[str, ...]:
        """What the module's constructor takes: a mean over the batch only where the loss still has it."""
        return ("none", "mean", "sum", *(["batchmean"] if "batch" in self.graph.root.axes else []))

    @property
    def flat(self) -> bool:
        """Whether spatial axes become one: the function needs it, or a weight that lacks them."""
        return any(form.flat or "space" in without(form.root, form.weight or form.root) for form in self.forms)

    @property
    def restores(self) -> bool:
        """Whether an unreduced loss gets its spatial axes back."""
        return self.flat and self.graph.root.axes[-1:] == ("space",)

    @property
    def needs_shape(self) -> bool:
        """Whether the spatial shape must be remembered."""
        arguments = [
            argument.variable for form in self.forms for source in form.sources for argument in source.arguments
        ]
        return self.restores or "shape" in arguments

    @property
    def scales(self) -> bool:
        """Whether class weights, where given, multiply the elements of a loss that does not use them."""
        if self.target is None or self.graph.uses(CLASS_WEIGHT) or CLASS_WEIGHT not in self.graph.signature:
            return False
        axes = self.graph.root.axes
        return self.target.labels in axes or set(label_axes(self.target)) <= set(axes)

    @property
    def rescales(self) -> bool:
        """Whether class weights are factors of the loss itself, by which a mean does not divide."""
        return self.scales and one_vs_rest(self.graph)

    @property
    def shares(self) -> bool:
        """Whether a mean may divide by weights that are in the loss already."""
        return any(form.shared for form in self.forms)

    @property
    def weighs(self) -> bool:
        """Whether the reduction takes weights."""
        return self.scales or any(form.kept or form.weight is not None for form in self.forms)

    @property
    def always_weighs(self) -> bool:
        """Whether every call of the reduction brings a weight."""
        return all(form.kept or form.weight is not None for form in self.forms)

    @property
    def buffers(self) -> list[str]:
        """Names of the tensors given at construction: those that the loss uses, and class weights that may scale."""
        declared = [buffer.name for buffer in self.graph.signature.buffers]
        return [name for name in declared if self.graph.uses(name) or (name == CLASS_WEIGHT and self.scales)]
