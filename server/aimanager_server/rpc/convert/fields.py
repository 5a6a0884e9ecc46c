"""Field-level parsing that every request shares, with violations that name the field's path."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message as ProtoMessage

from ...core.errors import FieldViolation, InvalidRequest
from ...validation.violations import MAX_VIOLATIONS, raise_violations

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 500


class FieldParser:
    """Collects the violations of one request while it is parsed, at most one more than an error lists.

    A violation does not stop the parsing: the field keeps its value or gets a harmless one, and the caller of the
    parser must reject the request.
    """

    __slots__ = ("_violations",)

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """Return the violations in the order of the request."""
        return tuple(self._violations)

    def reject(self, path: str, description: str) -> None:
        """Add the violation of one field; `description` completes "<path> …"."""
        if len(self._violations) <= MAX_VIOLATIONS:
            self._violations.append(FieldViolation(path, description))

    def reject_enum(self, path: str, enum: Any, number: int) -> None:
        """Add the violation of an enum field that is unset or has an unknown number."""
        self.reject(path, enum_description(enum, number))

    def text(self, value: str, path: str) -> str:
        """Return the text, and reject one with a NUL character, which no provider accepts."""
        if "\0" in value:
            self.reject(path, "must not contain NUL characters")
        return value

    def raise_violations(self) -> None:
        """Raise InvalidRequest if a field was rejected."""
        raise_violations(self._violations)


def invalid_field(path: str, description: str) -> InvalidRequest:
    """Return the error of one field; `description` completes "<path> …"."""
    return InvalidRequest(f"{path} {description}.", violations=(FieldViolation(path, description),))


def unknown_enum_value(path: str, enum: Any, number: int) -> InvalidRequest:
    """Return the error of an enum field that is unset or has an unknown number."""
    return invalid_field(path, enum_description(enum, number))


def enum_description(enum: Any, number: int) -> str:
    """Return what is wrong with an enum field that is unset or has an unknown number."""
    accepted = ", ".join(name for name, value in enum.items() if value)
    return f"must be one of {accepted}, got {number or enum.Name(0)}"


def optional_field(message: ProtoMessage, field: str) -> Any:
    """Return the field's value, None if it is not set."""
    return getattr(message, field) if message.HasField(field) else None


def parse_page_size(size: int) -> int:
    """Return the size of a page. Raises InvalidRequest if it is negative."""
    if size < 0:
        raise invalid_field("page_size", f"must be between 0 and {MAX_PAGE_SIZE}, got {size}")
    return min(size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
