"""Losses as files that work without lossearch."""

from lossearch.compile.export.files import export
from lossearch.compile.export.standalone import standalone

__all__ = ["export", "standalone"]
