"""From graph to torch source to a module on any backend, and to exported files."""

from lossearch.compile.backend import Backend, compile_source
from lossearch.compile.constants import structure
from lossearch.compile.interpret import evaluate
from lossearch.compile.module import LossModule, build
from lossearch.compile.reduction import Reduction
from lossearch.compile.source import Source, emit

__all__ = [
    "Backend",
    "LossModule",
    "Reduction",
    "Source",
    "build",
    "compile_source",
    "emit",
    "evaluate",
    "structure",
]
