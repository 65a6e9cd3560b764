"""What a conformance kit finds."""

from __future__ import annotations


class Nonconforming(AssertionError):
    """Promises that do not hold, one line each."""

    def __init__(self, subject: str, findings: list[str]) -> None:
        lines = "\n".join(f"- {finding}" for finding in findings)
        super().__init__(f"{subject} breaks {len(findings)} of its promises:\n{lines}")
        self.findings = findings


class Findings:
    """Collects what does not hold, so that one run tells all of it."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.found: list[str] = []

    def require(self, holds: bool, otherwise: str) -> bool:
        """Note `otherwise` unless something holds; returns whether it does."""
        if not holds:
            self.found.append(otherwise)
        return holds

    def report(self) -> None:
        """Raise `Nonconforming` if anything was found."""
        if self.found:
            raise Nonconforming(self.subject, self.found)
