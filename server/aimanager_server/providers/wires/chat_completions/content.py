"""Read the content of a chat-completions message, which servers send in more shapes than text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from ..json_codec import encode_json, fragment_field


class ContentPiece(NamedTuple):
    """A piece of content, as text."""

    kind: Literal["text", "reasoning"]
    text: str


def content_pieces(content: Any) -> Iterator[ContentPiece]:
    """Yield the text and reasoning in the content of a message. Items of a known type without text are ignored.

    Some servers send a number or a JSON object where the model wrote one, and Mistral's reasoning models send a list
    of thinking and text items.

    >>> [piece.text for piece in content_pieces([{"type": "text", "text": "Rome"}, " is ", 7])]
    ['Rome', ' is ', '7']
    >>> list(content_pieces({"city": "Rome"}))
    [ContentPiece(kind='text', text='{"city":"Rome"}')]
    """
    if isinstance(content, str):
        yield ContentPiece("text", content)
    elif isinstance(content, list):
        for item in content:
            # A list within a list is no known shape, and may be nested without end.
            yield from content_pieces(encode_json(item) if isinstance(item, list) else item)
    elif isinstance(content, dict):
        yield from _pieces_of_item(content)
    elif content is not None:
        yield ContentPiece("text", encode_json(content))


def _pieces_of_item(item: dict[str, Any]) -> Iterator[ContentPiece]:
    thinking, text = item.get("thinking"), item.get("text")
    if thinking:
        yield from (ContentPiece("reasoning", fragment) for fragment in _fragments(thinking))
    elif isinstance(text, str | dict):
        yield ContentPiece("text", text if isinstance(text, str) else fragment_field(text, "value"))
    elif isinstance(item.get("parts"), list):
        yield from (ContentPiece("text", fragment) for fragment in _fragments(item["parts"]))
    elif item and "type" not in item:
        yield ContentPiece("text", encode_json(item))


def _fragments(value: Any) -> Iterator[str]:
    for piece in value if isinstance(value, list) else [value]:
        fragment = piece.get("text") if isinstance(piece, dict) else piece
        if isinstance(fragment, str):
            yield fragment
