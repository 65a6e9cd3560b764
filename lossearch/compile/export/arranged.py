"""The `forward` of a standalone module that takes inputs without a batch, or with several axes for it."""

from __future__ import annotations

from lossearch.compile.export.forms import ExportPlan
from lossearch.compile.layout import takes_rows
from lossearch.compile.names import safe
from lossearch.compile.source import definition
from lossearch.compile.targets import CLASS, class_by_class

ARRANGED = "batched"
"""The method that takes inputs with the axes of the signature."""

ROWS = '''
def rows(name: str, x: Tensor, lead: list[int]) -> Tensor:
    """The axes in front of an input as one, or one in front where there are none."""
    if list(x.shape[: len(lead)]) != list(lead):
        raise ValueError(f"{name} must have shape {list(lead)} in front, not {list(x.shape)}")
    return x.flatten(0, len(lead) - 1) if len(lead) else x.unsqueeze(0)
'''.strip()


def forward(plan: ExportPlan) -> list[str]:
    """Lines of the method, or none where the inputs have the axes of the signature in any case."""
    inputs = plan.graph.signature.forward_inputs
    arguments = ["self", *(f"{safe(declared.name)}: Tensor" for declared in inputs)]
    if takes_rows(plan.graph):
        return definition("forward", arguments, "Tensor", _of_rows(plan))
    if inputs[0].axes[:2] == ("batch", CLASS):
        return definition("forward", arguments, "Tensor", _of_one(plan))
    return []


def _of_rows(plan: ExportPlan) -> list[str]:
    first, *_ = inputs = plan.graph.signature.forward_inputs
    name, trailing = safe(first.name), len(first.axes) - 1
    names = [safe(one.name) for one in inputs]
    return [
        "# Each row has a loss of its own, so that any number of axes may stand for the batch.",
        f"lead = {name}.shape[: {name}.dim() - {trailing}]" if trailing else f"lead = {name}.shape",
        *(f'{one} = rows("{one}", {one}, lead)' for one in names),
        f"loss = self.{ARRANGED}({', '.join(names)})",
        'return loss.reshape(lead + loss.shape[1:]) if self.reduction == "none" else loss',
    ]


def _of_one(plan: ExportPlan) -> list[str]:
    names = [safe(declared.name) for declared in plan.graph.signature.forward_inputs]
    place, lines = "0", []
    if class_by_class(plan.graph) and not any(node.op == "along" for node in plan.graph.expanded().nodes):
        place = "1"
        if plan.scales:
            place, lines = (
                "at",
                ["weight = self.weight", "at = 0 if weight is not None and len(weight) > 1 else 1"],
            )
    lines += [f"{name} = {name}.unsqueeze({place})" for name in names]
    if ("batch" if place == "0" else CLASS) in plan.graph.root.axes:
        lines += [f"loss = self.{ARRANGED}({', '.join(names)})"]
        lines += [f'return loss.squeeze({place}) if self.reduction == "none" else loss']
    what = "elements of one class, or one element" if place == "at" else "one class" if place == "1" else "one element"
    return [
        f"if {names[0]}.dim() == 1:  # {what}",
        *(f"    {line}" for line in lines),
        f"return self.{ARRANGED}({', '.join(names)})",
    ]
