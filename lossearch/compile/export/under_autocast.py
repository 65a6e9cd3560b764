"""How a standalone module keeps its precision, and that of its gradients, where it is called under autocast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lossearch.compile.export.forms import ExportPlan
from lossearch.compile.names import safe

HELPER = '''
def under_autocast(x: Tensor) -> bool:
    """Whether autocast is on here, so that it may be on for the gradients, too."""
    one = torch.ones((1, 1), device=x.device)
    return x.device.type != "mps" and torch.mm(one, one).dtype != torch.float32  # MPS has no float64
'''.strip()


REGION = 'with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):'


def outside(plan: ExportPlan, lines: Sequence[str]) -> list[str]:
    """Lines that compute a loss in float32 or better, whatever autocast is on.

    A program of torch.export has a graph of its own for the region, which takes time to make, to load and to run: there
    it is left out where no matrices are multiplied, as autocast leaves all else in float32.
    """
    if plan.traced and not plan.products:
        return list(lines)
    said = "# A loss is computed in float32 or better, whatever autocast is on."
    return [said, REGION, *(f"    {line}" for line in lines)]


def in_double(plan: ExportPlan, computed: str) -> Iterator[str]:
    """Lines that call the method `computed` in float64 under autocast; none where no matrices are multiplied.

    Autograd multiplies matrices in half precision where `backward` is called under autocast, except in float64.
    """
    if not plan.products:
        return
    inputs = plan.graph.signature.forward_inputs
    numbers = [safe(declared.name) for declared in inputs if declared.kind == "real" and not declared.labels]
    names = [safe(declared.name) for declared in inputs]
    passed = ", ".join(f"{name}.double()" if name == numbers[0] else name for name in names)
    yield f"if under_autocast({numbers[0]}):  # whose gradients leave float64 alone"
    widest = "torch.float32"
    for name in numbers:
        yield f"    dtype = torch.promote_types({widest}, {name}.dtype)"
        widest = "dtype"
    yield f"    return self.{computed}({passed}).to(dtype)"
