"""Reads JSON as providers write it, including what strict readers refuse."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json, to_json

LARGEST_COUNT = 2**53
"""More than anything that is counted here: what is above is no count."""


def read_json(data: bytes) -> Any:
    """The value. Raises ValueError where it is not JSON.

    Bytes that are not UTF-8 become U+FFFD, and half a surrogate pair is kept: its other half may follow in the next
    fragment, and losing an answer over one sign would be worse.

    >>> read_json(b'{"text": "caf\\xc3"}')
    {'text': 'caf\ufffd'}
    """
    try:
        return from_json(data)
    except ValueError:
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def mended(text: str) -> str:
    """The text with surrogate pairs joined and lone halves replaced by U+FFFD: what UTF-8 can carry."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def json_of(value: Any) -> str:
    """A value that `read_json` gave, as JSON that UTF-8 can carry. Raises ValueError where it is nested too deeply.

    >>> json_of({"a": "ü"}), json_of({"a": "\\ud83d"})
    ('{"a":"ü"}', '{"a": "\\\\ud83d"}')
    """
    try:
        return to_json(value).decode()
    except ValueError:
        try:
            return json.dumps(value)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def count_of(value: Any) -> int:
    """A count; 0 for what cannot be one, such as a negative number or NaN.

    >>> count_of(7), count_of(7.0), count_of(-1), count_of(float("nan")), count_of("7")
    (7, 7, 0, 0, 0)
    """
    return int(value) if isinstance(value, int | float) and 0 < value <= LARGEST_COUNT else 0


def looks_like_html(body: bytes) -> bool:
    """Whether a page came in place of an answer, as from a proxy or an edge.

    >>> looks_like_html(b"  <!DOCTYPE html><html>"), looks_like_html(b'{"a": "<b>"}')
    (True, False)
    """
    return body[:64].lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml"))
