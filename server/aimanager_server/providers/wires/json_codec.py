"""Decode and encode JSON as providers write it, including input that strict parsers reject."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from ...core.errors import ProviderProtocolError


def decode_json(data: bytes) -> Any:
    """Parse JSON leniently. Raises ValueError if `data` is not JSON.

    Bytes that are not UTF-8 become U+FFFD. Half a surrogate pair is kept, because the other half may follow in the
    next fragment.

    >>> decode_json(b'{"text": "caf\\xc3"}')
    {'text': 'caf\ufffd'}
    """
    try:
        return from_json(data)
    except ValueError:
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def decode_body(body: bytes) -> Any:
    """Parse the body of a successful response. Raises ProviderProtocolError if it is empty or not JSON."""
    if not body.strip():
        raise ProviderProtocolError("The response body is empty.")
    try:
        return decode_json(body)
    except ValueError as error:
        actual = "an HTML page" if looks_like_html(body) else "not JSON"
        raise ProviderProtocolError(f"The response body is {actual} ({len(body)} bytes).") from error


class InvalidEventJson(ProviderProtocolError):
    """A stream event is not JSON. A separate class, because a truncated stream causes it as well."""


def decode_event(data: bytes) -> Any:
    """Parse the data of a stream event. Raises InvalidEventJson if it is not JSON."""
    try:
        return decode_json(data)
    except ValueError as error:
        raise InvalidEventJson(f"A stream event is not JSON ({len(data)} bytes).") from error


def decode_objects(data: bytes) -> Iterable[Mapping[str, Any]]:
    """Parse the data of a stream event that is a JSON object, or a list of objects; `null` is an empty list.

    Raises InvalidEventJson if it is not JSON, and ProviderProtocolError if it is another value.
    """
    value = decode_event(data)
    if isinstance(value, dict):
        return (value,)
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    if value is None:
        return ()
    raise ProviderProtocolError(f"A stream event must be a JSON object, got {type(value).__name__!r}.")


def decode_object_body(body: bytes) -> Mapping[str, Any]:
    """Parse a response body that must be a JSON object. Raises ProviderProtocolError for anything else."""
    return require_object(decode_body(body))


def require_object(value: Any) -> Mapping[str, Any]:
    """Return a parsed response body if it is a JSON object. Raises ProviderProtocolError otherwise."""
    if not isinstance(value, dict):
        raise ProviderProtocolError(f"The response body must be a JSON object, got {type(value).__name__!r}.")
    return value


def encode_json(value: Any) -> str:
    """Encode a value returned by `decode_json`. Raises ValueError if it is nested too deeply.

    >>> encode_json({"a": "ü"}), encode_json({"a": "\\ud83d"})
    ('{"a":"ü"}', '{"a": "\\\\ud83d"}')
    """
    try:
        return to_json(value).decode()
    except ValueError:
        try:
            return json.dumps(value)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def fix_surrogates(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates with U+FFFD, so that UTF-8 can encode the text."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def string_field(value: Mapping[str, Any], field: str) -> str:
    """Return a complete string field with surrogates fixed; empty if it is missing or not a string."""
    return fix_surrogates(fragment_field(value, field))


def fragment_field(value: Mapping[str, Any], field: str) -> str:
    """Return a string field unchanged; empty if it is missing or not a string.

    Half a surrogate pair is kept, because the other half may follow in the next fragment.
    """
    found = value.get(field)
    return found if isinstance(found, str) else ""


def object_field(value: Any, field: str) -> Mapping[str, Any]:
    """Return an object field; empty if it is missing, not an object, or `value` is not an object."""
    found = value.get(field) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def object_list_field(value: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """Return the objects in a list field; empty if it is missing or not a list."""
    found = value.get(field)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def looks_like_html(body: bytes) -> bool:
    """Return whether the body is an HTML or XML page, such as a proxy's error page.

    >>> looks_like_html(b"  <!DOCTYPE html><html>"), looks_like_html(b'{"a": "<b>"}')
    (True, False)
    """
    return body[:64].lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml"))
