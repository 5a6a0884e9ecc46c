"""Compare what was streamed of an output item with its complete form, which is authoritative."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....core.errors import ProviderProtocolError
from ..json_codec import decode_json, encode_json, fragment_field, string_field

FragmentKind = str
"""The content that a fragment belongs to: "output_text", "refusal", "summary", "reasoning_text" or "arguments"."""

Piece = tuple[FragmentKind, int]
"""A piece of an item: its kind, and its position among the contents of the item."""

ARGUMENTS: Piece = ("arguments", 0)

TEXT_FIELDS: Mapping[str, tuple[FragmentKind, str]] = {
    "output_text": ("output_text", "text"),
    "text": ("output_text", "text"),  # older servers
    "refusal": ("refusal", "refusal"),
}
"""The fragment kind of each content type of a message, and the field with its text."""

ITEM_TYPES: Mapping[FragmentKind, str] = {
    "output_text": "message",
    "refusal": "message",
    "summary": "reasoning",
    "reasoning_text": "reasoning",
    "arguments": "function_call",
}
"""The type of the items that have fragments of a kind."""


@dataclass(slots=True)
class OutputItem:
    """An item and what was streamed of it. `announced` is the item in `output_item.added`.

    `waiting` holds the arguments of a tool call that was not announced, and therefore has no name yet.
    """

    index: int
    number: int
    announced: Mapping[str, Any] = field(default_factory=dict)
    type: str = ""
    id: str = ""
    streamed: dict[Piece, list[str]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    has_reasoning: bool = False

    @property
    def position(self) -> tuple[int, int]:
        """Its position in the output. Some servers give every item the same index."""
        return self.index, self.number

    @property
    def inferred_type(self) -> str:
        """The type that its announcement or else its fragments show; empty if neither does."""
        kinds = (kind for kind, _ in self.streamed)
        return self.type or ITEM_TYPES.get(next(kinds, "arguments" if self.waiting else ""), "")

    def slot(self, piece: Piece) -> Hashable:
        """Return the slot of the part that a piece belongs to. All reasoning of an item is one part."""
        kind, position = piece
        return (self.number, "reasoning", 0) if ITEM_TYPES[kind] == "reasoning" else (self.number, kind, position)

    def has_content(self) -> bool:
        """Return whether a caller has seen or waits for some of it; reasoning is not content."""
        return (
            bool(self.waiting)
            or any(any(fragments) for (kind, _), fragments in self.streamed.items() if ITEM_TYPES[kind] != "reasoning")
            or self.inferred_type == "function_call"
        )

    def announced_pieces(self) -> dict[Piece, str]:
        """Return the content that the announcement already had. Fragments replace arguments that are complete in it."""
        pieces = {piece: text for piece, text in (pieces_of(self.announced) or {}).items() if text}
        if self.streamed.get(ARGUMENTS) and _is_json(pieces.get(ARGUMENTS, "")):
            del pieces[ARGUMENTS]
        return pieces

    def check(self, item: Mapping[str, Any], pieces: Mapping[Piece, str] | None) -> None:
        """Raise ProviderProtocolError if the complete item contradicts the announced one or what was streamed."""
        for name in ("type", "call_id", "name"):
            announced, final = string_field(self.announced, name), string_field(item, name)
            if announced and final and announced != final:
                raise contradiction(f"the {name} of an output item")
        streamed = [piece for piece, fragments in self.streamed.items() if any(fragments)]
        if pieces is not None and any(piece not in pieces for piece in streamed):
            raise contradiction("an output item")
        item_type = string_field(item, "type") or self.type
        kinds = {kind for kind, _ in streamed} | ({"arguments"} if self.waiting else set())
        if item_type and any(ITEM_TYPES[kind] != item_type for kind in kinds):
            raise contradiction("the type of an output item")

    def rest(self, piece: Piece, complete: str) -> str:
        """Return what was not streamed of a piece. Raises ProviderProtocolError if the rest contradicts it."""
        streamed = "".join(self.streamed.get(piece, ()))
        if complete.startswith(streamed):
            return complete[len(streamed) :]
        # A surrogate pair split over two fragments is one character in the complete text.
        start, whole = _utf16(streamed), _utf16(complete)
        if whole.startswith(start):
            return whole[len(start) :].decode("utf-16-le", "surrogatepass")
        raise contradiction(f"the {piece[0]} of an output item")


def pieces_of(item: Mapping[str, Any]) -> dict[Piece, str] | None:
    """Return the content of a complete item by piece; None if it does not state its content.

    >>> pieces_of({"type": "function_call", "arguments": {"city": "Rome"}})
    {('arguments', 0): '{"city":"Rome"}'}
    >>> pieces_of({"type": "message", "content": "Hi"}), pieces_of({"type": "message"})
    ({('output_text', 0): 'Hi'}, None)
    """
    match item.get("type"):
        case "message":
            return _message_pieces(item.get("content"))
        case "reasoning":
            listed = [("reasoning_text", item.get("content")), ("summary", item.get("summary"))]
            return {
                (kind, position): fragment_field(paragraph, "text")
                for kind, paragraphs in listed
                for position, paragraph in enumerate(paragraphs if isinstance(paragraphs, list) else ())
                if isinstance(paragraph, dict)
            } or None
        case "function_call":
            arguments = item.get("arguments")
            if arguments is None:
                return None
            return {ARGUMENTS: arguments if isinstance(arguments, str) else encode_json(arguments)}
    return None


def contradiction(what: str) -> ProviderProtocolError:
    """Return the error for a complete item that differs from what was streamed of it."""
    return ProviderProtocolError(f"The stream and its final items disagree about {what}.")


def _message_pieces(content: Any) -> dict[Piece, str] | None:
    if content is None:
        return None
    pieces: dict[Piece, str] = {}
    for position, entry in enumerate(_listed(content)):
        kind, name = TEXT_FIELDS.get(string_field(entry, "type"), ("", ""))
        text = entry.get(name)
        if kind and text is not None:
            if not isinstance(text, str):
                raise ProviderProtocolError(f"The text of a message must be a string, got {type(text).__name__!r}.")
            pieces[kind, position] = text
    return pieces


def _listed(content: Any) -> Iterable[Mapping[str, Any]]:
    """Return the contents of a message, each at its position. Strings are text; other values become empty."""
    entries = content if isinstance(content, list) else [content]
    for entry in entries:
        if isinstance(entry, str):
            yield {"type": "output_text", "text": entry}
        else:
            yield entry if isinstance(entry, dict) else {}


def _is_json(text: str) -> bool:
    try:
        decode_json(text.encode("utf-8", "replace"))
    except ValueError:
        return False
    return True


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")
