"""The version of lossearch."""

__version__ = "0.1.0"
