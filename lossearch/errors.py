"""The one exception type for mistakes that a user can mend."""

from __future__ import annotations

from lossearch.plain_text import shortened, visible


class UserError(Exception):
    """A mistake in what the user gave: a config, an expression, a file, a path, a dataset.

    The message always says what was required, what was found and what to do about it. The command line prints it
    without a traceback and exits with code 2. Each part may quote what was given: characters that would steer a
    terminal are escaped, and a long part keeps its beginning and its end.
    """

    def __init__(self, required: str, found: str, hint: str) -> None:
        required, found, hint = (shortened(visible(part)) for part in (required, found, hint))
        super().__init__(f"required: {required}; found: {found}; {hint}")
        self.required = required
        self.found = found
        self.hint = hint

    def __reduce__(self) -> tuple[type[UserError], tuple[str, ...]]:
        # Exceptions cross process borders inside Ray; the default reduction would pass one joined argument.
        return type(self), (self.required, self.found, self.hint)

    def _render_traceback_(self) -> list[str]:
        # IPython and Jupyter ask an exception for the lines to show in place of a traceback.
        parts = {"required": self.required, "found": self.found, "what to do": self.hint}
        return [type(self).__name__, *(f"{heading + ':':<12}{part}" for heading, part in parts.items())]
