"""Violations that validation reports, and how they show a caller's values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pydantic_core import to_json

from ..core.errors import FieldViolation, InvalidRequest, PayloadTooLarge

MAX_VIOLATIONS = 16
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


def raise_violations(found: Iterable[Violation], parsed: Sequence[FieldViolation] = ()) -> None:
    """Raise an error that lists the first violations, if there are any: those found while parsing, then the others.

    A field that could not be parsed is listed once: what was found in its place does not count. Raises PayloadTooLarge
    if all of them are oversized fields, else InvalidRequest.
    """
    if parsed:
        found = (violation for violation in found if not any(_overlap(violation, other) for other in parsed))
    # One more than is listed tells whether there are more; a request can have millions.
    violations: list[Violation] = [*parsed, *islice(found, MAX_VIOLATIONS + 1)][: MAX_VIOLATIONS + 1]
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
    if len(violations) == 1:
        return first
    count = f"More than {MAX_VIOLATIONS}" if len(violations) > MAX_VIOLATIONS else len(violations)
    return f"{count} fields are invalid. First: {first}"


def _overlap(violation: Violation, other: FieldViolation) -> bool:
    """Return whether one field is the other, or a part of it."""
    return _is_within(violation.field, other.field) or _is_within(other.field, violation.field)


def _is_within(field: str, parent: str) -> bool:
    return field.startswith(parent) and field[len(parent) : len(parent) + 1] in ("", ".", "[")


def too_long(field: str, text: str, max_length: int) -> Iterator[FieldViolation]:
    """Yield a violation if the text has more than `max_length` characters."""
    if len(text) > max_length:
        yield FieldViolation(field, f"must have at most {max_length} characters, got {len(text)}")


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
