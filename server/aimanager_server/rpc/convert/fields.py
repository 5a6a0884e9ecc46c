"""What reading any field needs: refusals with its path, and values as we keep them."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message as Proto
from pydantic_core import to_json

from ...core.errors import FieldViolation, InvalidRequest


def refused(path: str, description: str) -> InvalidRequest:
    """The fault of one field."""
    return InvalidRequest(f"{path}: {description}.", violations=(FieldViolation(path, description),))


def text(value: str, path: str) -> str:
    """The same text. Refused where it holds a NUL character."""
    if "\0" in value:
        raise refused(path, "the text holds a NUL character, which no provider accepts")
    return value


def said(message: Proto, field: str) -> Any:
    """The field's value; None where the client did not say."""
    return getattr(message, field) if message.HasField(field) else None


def shown(number: int, unset: str) -> str:
    """A number of an enum, or the name of its zero."""
    return str(number) if number else unset


def accepted(kinds: Any) -> str:
    """What would be taken for an enum."""
    names = [name for name, number in kinds.items() if number]
    return f"is not accepted; send one of {', '.join(names)}"


def quoted(key: str) -> str:
    """A map key as a path shows it."""
    return to_json(key).decode()
