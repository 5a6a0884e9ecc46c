"""Join the fragments of parallel tool calls, including those of servers with unreliable indices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..json_codec import encode_json, object_field, string_field
from ..part_assembler import PartAssembler


@dataclass(slots=True)
class _ToolCallFragments:
    slot: tuple[str, int]
    id: str
    name: str = ""
    fragments: list[str] = field(default_factory=list)

    _scanned: int = 0
    _depth: int = 0
    _in_string: bool = False
    _escaped: bool = False
    _is_complete: bool = False

    def is_complete(self) -> bool:
        """Return whether the brackets are balanced, so that the next fragment belongs to another call.

        Looks at each character once: some servers repeat the name with every fragment.
        """
        for fragment in self.fragments[self._scanned :]:
            self._scan(fragment)
        self._scanned = len(self.fragments)
        return self._is_complete

    def _scan(self, fragment: str) -> None:
        for character in fragment:
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = character == "\\"
                self._in_string = character != '"'
            elif character == '"':
                self._in_string = True
            elif character in "{[}]":
                self._depth += 1 if character in "{[" else -1
                self._is_complete = self._depth <= 0


class ToolCallAssembler:
    """Join fragments to tool calls by index and id.

    The index decides, except for servers that number every call 0: another name, or a name after complete arguments,
    starts a new call. Some servers send another id with every fragment; others repeat or omit the id, or the index.
    """

    __slots__ = ("_by_id", "_by_index", "_calls", "_parts")

    def __init__(self, parts: PartAssembler) -> None:
        self._parts = parts
        self._calls: list[_ToolCallFragments] = []
        self._by_index: dict[int, _ToolCallFragments] = {}
        self._by_id: dict[str, _ToolCallFragments] = {}

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one entry of the `tool_calls` of a delta or message."""
        function = object_field(entry, "function") or entry
        index = entry.get("index")
        index = index if isinstance(index, int) else None
        call_id, name = string_field(entry, "id"), string_field(function, "name")
        arguments = function.get("arguments")
        fragment = arguments if isinstance(arguments, str) else "" if arguments is None else encode_json(arguments)
        call = self._find(index, call_id, name, fragment) or self._start(index, call_id)
        call.name = call.name or name
        if fragment:
            call.fragments.append(fragment)
        self._parts.add_tool_call(call.slot, call.id, name, fragment)

    def _start(self, index: int | None, call_id: str) -> _ToolCallFragments:
        # An id that another call already has is dropped; the assembler generates one.
        call = _ToolCallFragments(("tool", len(self._calls)), "" if call_id in self._by_id else call_id)
        if call.id:
            self._by_id[call.id] = call
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _find(self, index: int | None, call_id: str, name: str, fragment: str) -> _ToolCallFragments | None:
        if index is not None:
            known = self._by_index.get(index)
        elif call_id:
            known = self._by_id.get(call_id)
        else:
            known = self._calls[-1] if self._calls else None
        if known is None or (call_id and call_id == known.id):
            return known
        has_other_id = bool(call_id and known.id)
        starts_new_call = bool(
            name and known.name and (name != known.name or ((fragment or has_other_id) and known.is_complete()))
        )
        return None if starts_new_call else known
