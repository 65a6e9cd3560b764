"""backend="compile" never raises for another kind of call: it compiles again, or runs uncompiled and says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from lossearch import zoo
from lossearch.compile import inductor
from lossearch.loss import Loss

# torch's own: functorch scripts functions when it is first used.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

MODES: list[Callable[[], AbstractContextManager[Any]]] = [torch.enable_grad, torch.no_grad, torch.inference_mode]


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that torch.compile does, except the seconds that kernels take to build."""
    real = torch.compile

    def compile(function: Any, *, fullgraph: bool, dynamic: bool | None, options: object) -> Any:
        return real(function, fullgraph=fullgraph, dynamic=dynamic, backend="eager")

    monkeypatch.setattr(inductor.torch, "compile", compile)


def unique(number: int) -> Loss:
    """A loss that no other test has compiled."""
    return zoo.get("focal", gamma=2.0 + number / 128)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What lossearch logged."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("lossearch")]


def agrees(module: Callable[..., Tensor], reference: Callable[..., Tensor], logits: Tensor, labels: Tensor) -> None:
    value, expected = module(logits, labels), reference(logits, labels)
    torch.testing.assert_close(value, expected)
    if value.requires_grad:
        torch.testing.assert_close(torch.autograd.grad(value, logits), torch.autograd.grad(expected, logits))


@pytest.mark.thorough
def test_sizes_grad_modes_formats_and_dtypes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    without_kernels(monkeypatch)
    module, reference = unique(1).to_module("compile"), unique(1).to_module()
    shapes = [(batch, 5, *space) for space in ((), (4, 4), (5, 3)) for batch in (1, 3, 8)]
    given = [torch.randn(shape, requires_grad=True) for shape in (*shapes, (2, 5, 1, 4), (2, 5, 7), (2, 5, 2, 2, 3))]
    given += [given[4].detach().to(memory_format=torch.channels_last).requires_grad_(), given[4].detach().double()]
    for logits in given:
        agrees(module, reference, logits, torch.randint(5, (len(logits), *logits.shape[2:])))
    for mode, wanted in product(MODES, (False, True)):
        with mode():
            logits = torch.randn(4, 5, requires_grad=wanted)
            agrees(module, reference, logits, torch.randint(5, (4,)))
    assert not told(caplog), "no kind of them needs more forms than torch.compile keeps"


def test_more_kinds_than_torch_compile_keeps_run_uncompiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without_kernels(monkeypatch)
    module, reference = unique(2).to_module("compile"), unique(2).to_module()
    with torch._dynamo.config.patch(recompile_limit=1):
        for batch, side in product((1, 2, 5), (1, 2)):
            for _ in range(2):
                logits = torch.randn(batch, 5, side, 1, requires_grad=True)
                agrees(module, reference, logits, torch.randint(5, (batch, side, 1)))
    (message,) = told(caplog)
    assert "run uncompiled" in message


def test_what_cannot_be_compiled_runs_uncompiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = torch.compile

    def refusing(graph: Any, inputs: Any) -> Any:
        raise NotImplementedError("no kernel for this")

    monkeypatch.setattr(
        inductor.torch, "compile", lambda f, *, fullgraph, dynamic, options: real(f, fullgraph=True, backend=refusing)
    )
    module, reference = unique(3).to_module("compile"), unique(3).to_module()
    for _ in range(2):
        agrees(module, reference, torch.randn(4, 5, requires_grad=True), torch.randint(5, (4,)))
    (message,) = told(caplog)
    assert "no kernel for this" in message


def test_forward_mode_passes_through() -> None:
    logits, labels, tangent = torch.randn(4, 5), torch.randint(5, (4,)), torch.randn(4, 5)
    found = [
        torch.func.jvp(lambda x, m=loss: m(x, labels), (logits,), (tangent,))
        for loss in (unique(4).to_module("compile"), unique(4).to_module())
    ]
    torch.testing.assert_close(*found)
