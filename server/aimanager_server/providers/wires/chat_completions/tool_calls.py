"""Tells the fragments of parallel tool calls apart, on servers that number them badly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..dialect import Parts
from ..json_codec import json_of, mended, read_json


@dataclass(slots=True)
class _Begun:
    slot: tuple[str, int]
    id: str
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    def is_whole(self) -> bool:
        """Its arguments are complete, so what follows belongs to another call."""
        try:
            read_json("".join(self.pieces).encode("utf-8", "replace"))
        except ValueError:
            return False
        return True


class ToolCalls:
    """Joins fragments to calls by index and id.

    The index alone is not trusted: some servers number every call 0, count from 1, or leave the number out; others
    repeat the id, or leave it out. A new id, or a new name after complete arguments, begins a new call.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._begun: list[_Begun] = []
        self._by_index: dict[int, _Begun] = {}

    def take(self, fragment: Mapping[str, Any]) -> None:
        """One entry of a delta's or a message's `tool_calls`."""
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        index = fragment.get("index")
        index = index if isinstance(index, int) else None
        call_id, name = _text(fragment.get("id")), _text(function.get("name"))
        arguments = function.get("arguments")
        piece = arguments if isinstance(arguments, str) else "" if arguments is None else json_of(arguments)
        call = self._known(index, call_id, name, piece) or self._begin(index, call_id)
        call.name = call.name or name
        if piece:
            call.pieces.append(piece)
        self._parts.tool(call.slot, call.id, name, piece)

    def _begin(self, index: int | None, call_id: str) -> _Begun:
        # An id that another call has is of no use: without one, a new one is minted.
        repeated = any(call.id == call_id for call in self._begun)
        call = _Begun(("tool", len(self._begun)), "" if repeated else call_id)
        self._begun.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _known(self, index: int | None, call_id: str, name: str, piece: str) -> _Begun | None:
        if index is not None:
            known = self._by_index.get(index)
        elif call_id:
            known = next((call for call in self._begun if call.id == call_id), None)
        else:
            known = self._begun[-1] if self._begun else None
        if known is None or (call_id and call_id == known.id):
            return known
        if call_id and known.id:
            return None
        begins_anew = name and known.name and (name != known.name or (piece and known.is_whole()))
        return None if begins_anew else known


def _text(value: Any) -> str:
    return mended(value) if isinstance(value, str) else ""
