"""Integer labels: those to ignore and those that are no class are seen at every call, whatever looks at them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lossearch import zoo
from lossearch.compile import build
from lossearch.errors import UserError
from lossearch.ir.forms.text import parse_graph


@pytest.mark.parametrize("backend", ["eager", "torchscript"])
@pytest.mark.parametrize("name", ["focal", "cross_entropy", "weighted_cross_entropy", "dice"])
def test_labels_are_seen_at_every_call_though_kernels_check_them(name: str, backend: str) -> None:
    """From the second call with some shapes on, labels are looked at only where a kernel refuses one."""
    weight = torch.tensor([0.5, 1.0, 2.0]) if name.startswith("weighted") else None
    module = zoo.get(name).to_module(backend, weight=weight)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    whole = [module(logits, labels) for _ in range(3)][-1]
    ignored = labels.clone()
    ignored[1] = -100
    expected = module(logits[ignored >= 0], labels[ignored >= 0])
    torch.testing.assert_close(module(logits, ignored), expected)
    torch.testing.assert_close(module(logits, labels), whole)
    for wrong in (3, -1, -(2**63)):
        with pytest.raises(UserError, match=r"target labels in \[0, 2\]"):
            module(logits, torch.tensor([0, 1, 2, 2, 1, wrong]))


def test_a_label_that_is_a_class_can_be_ignored() -> None:
    module = zoo.get("cross_entropy").to_module(ignore_index=0)
    logits, labels = torch.randn(6, 3), torch.tensor([1, 1, 2, 2, 1, 2])
    for given in (labels, labels, torch.tensor([0, 1, 2, 2, 1, 0])):
        expected = F.cross_entropy(logits, given, ignore_index=0)
        torch.testing.assert_close(module(logits, given), expected)


def test_a_kernel_is_not_run_in_vain_where_labels_are_ignored_again() -> None:
    module = zoo.get("cross_entropy").to_module()
    logits, labels, ignored = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0]), torch.tensor([0, -100, 2, 2, 1, 0])
    for _ in range(2):
        module(logits, labels)
    geometry = next(iter(module._checker._sound.values()))
    kernel, runs = geometry.direct, []
    assert kernel is not None
    geometry.direct = lambda *inputs: runs.append(inputs) or kernel(*inputs)
    for _ in range(3):
        torch.testing.assert_close(module(logits, ignored), F.cross_entropy(logits, ignored))
    assert len(runs) == 1
    torch.testing.assert_close(module(logits, labels), F.cross_entropy(logits, labels))
    assert len(runs) == 2


def test_a_failure_that_is_not_about_labels_passes_through() -> None:
    module = zoo.get("cross_entropy").to_module()
    logits, labels = torch.randn(6, 3), torch.tensor([1, 1, 2, 2, 1, 2])
    for _ in range(2):
        module(logits, labels)

    def fail(*_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory")

    next(iter(module._checker._sound.values())).direct = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        module(logits, labels)


@pytest.mark.parametrize(
    "text",
    [
        "sort(cross_entropy(logits, target), over=batch)",
        "cumsum(sort(cross_entropy(logits, target), over=batch), over=batch)",
        "sum(sort_by(cross_entropy(logits, target), max(logits, over=class), over=batch) ** 2.0, over=(batch, space))",
    ],
)
def test_what_is_out_of_its_place_cannot_be_ignored(text: str) -> None:
    """Without an ignored label such a loss is what it says; with one there is a message in place of a wrong value."""
    module = build(parse_graph(f"dense: {text}"))
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    assert module(logits, labels).isfinite()
    labels[2] = -100
    with pytest.raises(UserError, match="a loss that orders them along batch"):
        module(logits, labels)
