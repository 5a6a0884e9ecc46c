"""Reads one answer of the Messages API, whole or in pieces, into the same events.

A whole answer is read as a stream of one piece per block, so the two cannot drift apart. Types that are not known,
of events, blocks and deltas, appear without notice and are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.content import Reasoning
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage, UsageSource
from ..dialect import Parts
from ..json_codec import count_of, json_of, mended

FINISHES: dict[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "compaction": FinishReason.STOP,
    "tool_use": FinishReason.STOP,
    "": FinishReason.STOP,
    "max_tokens": FinishReason.MAX_TOKENS,
    "model_context_window_exceeded": FinishReason.CONTEXT_WINDOW,
    "pause_turn": FinishReason.PAUSED,
    "refusal": FinishReason.REFUSAL,
}
"""Our word for each stop reason. Whether STOP means tool calls is told from the content, on which clones do not lie."""

COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def text_of(value: Mapping[str, Any], field: str) -> str:
    """A string of the provider's, empty where there is none."""
    found = value.get(field)
    return mended(found) if isinstance(found, str) else ""


def fragment_of(value: Mapping[str, Any], field: str) -> str:
    """A piece of a text as it came: half a surrogate pair at its end waits for the next piece."""
    found = value.get(field)
    return found if isinstance(found, str) else ""


def object_of(value: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """An object of the provider's, empty where there is none."""
    found = value.get(field)
    return found if isinstance(found, dict) else {}


class Answer:
    """One answer in the making."""

    def __init__(self) -> None:
        self._parts = Parts()
        self._kinds: dict[int, str] = {}
        self._inputs: dict[int, Mapping[str, Any]] = {}
        self._counts: dict[str, int] = {}
        self._said = False
        self._stop_reason = ""
        self._explanation = ""

    @property
    def usage(self) -> Usage:
        """What was counted so far. The cache counts come beside `input_tokens`, so they are added to it.

        All zero is what servers say that do not count.
        """
        counts = self._counts
        read = counts.get("cache_read_input_tokens", 0)
        written = counts.get("cache_creation_input_tokens", 0)
        return Usage(
            input_tokens=counts.get("input_tokens", 0) + read + written,
            output_tokens=counts.get("output_tokens", 0),
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=counts.get("thinking_tokens", 0),
            source=UsageSource.REPORTED if any(counts.values()) else UsageSource.MISSING,
        )

    def count(self, usage: Mapping[str, Any]) -> None:
        """Take over the counts that are there: they are cumulative, so they replace and never add."""
        given = {field: usage.get(field) for field in COUNTS}
        given["thinking_tokens"] = object_of(usage, "output_tokens_details").get("thinking_tokens")
        self._counts.update({field: count_of(count) for field, count in given.items() if isinstance(count, int)})

    def begin(self, index: int, block: Mapping[str, Any]) -> None:
        """A block opens, with whatever it already holds; one that was left open there is whole."""
        self.close(index)
        kind = self._kinds[index] = text_of(block, "type")
        match kind:
            case "text":
                self._text(index, fragment_of(block, "text"))
            case "thinking":
                self._parts.reasoning(index, fragment_of(block, "thinking"))
                self._sign(index, text_of(block, "signature"))
            case "redacted_thinking":
                self._parts.redacted(index, text_of(block, "data").encode())
            case "tool_use":
                self._parts.tool(index, text_of(block, "id"), text_of(block, "name"), "")
                self._inputs[index] = object_of(block, "input")

    def extend(self, index: int, delta: Mapping[str, Any]) -> None:
        """A block goes on."""
        match self._kinds.get(index), delta.get("type"):
            case "text", "text_delta":
                self._text(index, fragment_of(delta, "text"))
            case "thinking", "thinking_delta":
                self._parts.reasoning(index, fragment_of(delta, "thinking"))
            case "thinking", "signature_delta":
                self._sign(index, text_of(delta, "signature"))
            case "tool_use", "input_json_delta":
                self._input(index, fragment_of(delta, "partial_json"))

    def think(self) -> None:
        """The model thinks unseen."""
        self._parts.thinking()

    def close(self, index: int) -> None:
        """A block is whole."""
        whole_input = self._inputs.pop(index, None)
        if whole_input:
            self._parts.tool(index, "", "", json_of(whole_input))
        self._kinds.pop(index, None)
        self._parts.complete(index)

    def stop(self, delta: Mapping[str, Any]) -> None:
        """Why it stopped; what a later delta leaves out still stands."""
        self._stop_reason = text_of(delta, "stop_reason") or self._stop_reason
        self._explanation = text_of(object_of(delta, "stop_details"), "explanation") or self._explanation

    def finish(self) -> None:
        """The terminal evidence is there: blocks left open are whole."""
        for index in list(self._kinds):
            self.close(index)
        if self._stop_reason == "refusal" and not self._said:
            self._parts.text("refusal", self._explanation)
            self._parts.complete("refusal")

    def finished(self) -> Finished:
        """The last event."""
        reason = FINISHES.get(self._stop_reason, FinishReason.OTHER)
        if reason is FinishReason.STOP and self._parts.tool_calls:
            reason = FinishReason.TOOL_CALLS
        return Finished(reason, self._stop_reason, self.usage)

    def drain(self) -> list[Event]:
        """The events since the last drain."""
        return self._parts.drain()

    def _text(self, index: int, fragment: str) -> None:
        self._said = self._said or bool(fragment)
        self._parts.text(index, fragment)

    def _sign(self, index: int, signature: str) -> None:
        if signature:
            self._parts.state(index, Reasoning, signature.encode())

    def _input(self, index: int, fragment: str) -> None:
        # Pieces replace the input that the block opened with, which is {} wherever pieces follow.
        if fragment:
            self._inputs.pop(index, None)
        self._parts.tool(index, "", "", fragment)
