"""Field-level parsing that every request shares, with errors that name the field's path."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message as ProtoMessage

from ...core.errors import FieldViolation, InvalidRequest


def invalid_field(path: str, description: str) -> InvalidRequest:
    """Return the error of one field; `description` completes "<path> …"."""
    return InvalidRequest(f"{path} {description}.", violations=(FieldViolation(path, description),))


def unknown_enum_value(path: str, enum: Any, number: int) -> InvalidRequest:
    """Return the error of an enum field that is unset or has an unknown number."""
    accepted = ", ".join(name for name, value in enum.items() if value)
    return invalid_field(path, f"must be one of {accepted}, got {number or enum.Name(0)}")


def checked_text(value: str, path: str) -> str:
    """Return the text unchanged. Raises InvalidRequest if it contains a NUL character, which no provider accepts."""
    if "\0" in value:
        raise invalid_field(path, "must not contain NUL characters")
    return value


def optional_field(message: ProtoMessage, field: str) -> Any:
    """Return the field's value, None if it is not set."""
    return getattr(message, field) if message.HasField(field) else None
