"""Violations that validation reports, and how they show a caller's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from ..core.errors import FieldViolation, InvalidRequest, PayloadTooLarge

MAX_VIOLATIONS = 20
"""Violations listed in an error. Error details must fit into a few kilobytes of gRPC trailers."""

MAX_QUOTED_LENGTH = 64
"""Characters of a caller's value that a message repeats."""


@dataclass(frozen=True, slots=True)
class OversizedField:
    """A field that exceeds a size limit. `limit` and `actual` are in bytes."""

    field: str
    limit: int
    actual: int

    def as_violation(self) -> FieldViolation:
        """Return the violation that describes both sizes."""
        return FieldViolation(self.field, f"must have at most {self.limit} bytes, got {self.actual}")


Violation = FieldViolation | OversizedField


def raise_violations(violations: Sequence[Violation]) -> None:
    """Raise an error that lists the violations, if there are any.

    Raises PayloadTooLarge if all of them are oversized fields, else InvalidRequest.
    """
    if not violations:
        return
    invalid = [violation for violation in violations if isinstance(violation, FieldViolation)]
    oversized = [violation for violation in violations if isinstance(violation, OversizedField)]
    listed = (*invalid, *(field.as_violation() for field in oversized))
    if invalid:
        raise InvalidRequest(_summary(listed), violations=listed[:MAX_VIOLATIONS])
    raise PayloadTooLarge(
        _summary(listed),
        violations=listed[:MAX_VIOLATIONS],
        metadata={"limit": str(oversized[0].limit), "actual": str(oversized[0].actual)},
    )


def _summary(violations: Sequence[FieldViolation]) -> str:
    first = f"{violations[0].field} {violations[0].description}."
    return first if len(violations) == 1 else f"{len(violations)} fields are invalid. First: {first}"


def quoted(text: str) -> str:
    """Return a caller's value in quotes, shortened to `MAX_QUOTED_LENGTH` characters.

    >>> quoted("a" * 65).count("a")
    64
    """
    return repr(text if len(text) <= MAX_QUOTED_LENGTH else f"{text[:MAX_QUOTED_LENGTH]}…")


def entry_path(field: str, key: str) -> str:
    """Return the path of a map entry, with its key shortened.

    >>> entry_path("labels", "team")
    'labels["team"]'
    """
    return f"{field}[{to_json(key[:MAX_QUOTED_LENGTH]).decode()}]"
