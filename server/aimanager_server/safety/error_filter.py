"""Mask what an error quotes of an answer, or of what a provider says about it."""

from __future__ import annotations

from ..core.errors import GatewayError
from .filter_run import FilterRun, Placeholders
from .scanner import Finding, Scanner


class _Masking(FilterRun):
    """Masks also what is to be blocked, since the call has failed anyway."""

    def admit(self, field: str, finding: Finding) -> None:
        """Let every finding pass."""


def filter_error(scanner: Scanner, placeholders: Placeholders, error: GatewayError) -> GatewayError:
    """Return the error with placeholders in its message, its solution and the values of its metadata."""
    run = _Masking(scanner, placeholders)
    message, solution = run.text("message", error.message), run.text("solution", error.solution)
    metadata = {key: run.text("metadata", value) for key, value in error.metadata.items()}
    return error.replace(message=message, solution=solution, metadata=metadata) if run.masked else error
