"""Parse a response of the Messages API, streamed or not, into the same events.

An unstreamed response is parsed as a stream with one fragment per block, so that both always agree. Unknown types of
events, blocks and deltas are ignored, because the API adds them without notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.content import Reasoning
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage
from ..json_codec import encode_json, fragment_field, object_field, string_field
from ..part_assembler import PartAssembler
from ..token_counts import TokenCounts

FINISH_REASONS: dict[str, FinishReason] = {
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
"""Each stop reason. STOP becomes TOOL_CALLS if the response contains tool calls: some servers report it unreliably."""


class AnthropicParser:
    """Parse one response."""

    def __init__(self) -> None:
        self._parts = PartAssembler()
        self._kinds: dict[int, str] = {}
        self._initial_inputs: dict[int, Mapping[str, Any]] = {}
        self._counts = TokenCounts()
        self._has_text = False
        self._stop_reason = ""
        self._explanation = ""

    @property
    def usage(self) -> Usage:
        """The usage reported so far. `input_tokens` excludes cached tokens, so they are added."""
        counts = self._counts
        return counts.usage(more_input_tokens=counts["cache_read_tokens"] + counts["cache_write_tokens"])

    def update_usage(self, usage: Mapping[str, Any]) -> None:
        """Replace the counts that are present: they are cumulative."""
        self._counts.update(
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            cache_read_tokens=usage.get("cache_read_input_tokens"),
            cache_write_tokens=usage.get("cache_creation_input_tokens"),
            reasoning_tokens=object_field(usage, "output_tokens_details").get("thinking_tokens"),
        )

    def start_block(self, index: int, block: Mapping[str, Any]) -> None:
        """Start a block with its initial content. A block still open at the index is closed."""
        self.close_block(index)
        kind = self._kinds[index] = string_field(block, "type")
        match kind:
            case "text":
                self._add_text(index, fragment_field(block, "text"))
            case "thinking":
                self._parts.add_reasoning(index, fragment_field(block, "thinking"))
                self._set_signature(index, string_field(block, "signature"))
            case "redacted_thinking":
                self._parts.add_redacted_reasoning(index, string_field(block, "data").encode())
            case "tool_use":
                self._parts.add_tool_call(index, string_field(block, "id"), string_field(block, "name"), "")
                self._initial_inputs[index] = object_field(block, "input")

    def add_delta(self, index: int, delta: Mapping[str, Any]) -> None:
        """Append a delta to a block."""
        match self._kinds.get(index), delta.get("type"):
            case "text", "text_delta":
                self._add_text(index, fragment_field(delta, "text"))
            case "thinking", "thinking_delta":
                self._parts.add_reasoning(index, fragment_field(delta, "thinking"))
            case "thinking", "signature_delta":
                self._set_signature(index, string_field(delta, "signature"))
            case "tool_use", "input_json_delta":
                self._add_input(index, fragment_field(delta, "partial_json"))

    def add_reasoning_progress(self) -> None:
        """Report that the model is reasoning without visible content."""
        self._parts.add_reasoning_progress()

    def close_block(self, index: int) -> None:
        """Complete a block."""
        initial_input = self._initial_inputs.pop(index, None)
        if initial_input:
            self._parts.add_tool_call(index, "", "", encode_json(initial_input))
        self._kinds.pop(index, None)
        self._parts.complete(index)

    def set_stop_reason(self, delta: Mapping[str, Any]) -> None:
        """Record why the model stopped. A later delta replaces only what it contains."""
        self._stop_reason = string_field(delta, "stop_reason") or self._stop_reason
        self._explanation = string_field(object_field(delta, "stop_details"), "explanation") or self._explanation

    def finish(self) -> list[Event]:
        """Complete all open blocks and return the last events. Call it once the completion event arrived."""
        for index in list(self._kinds):
            self.close_block(index)
        if self._stop_reason == "refusal" and not self._has_text:
            self._parts.add_text("refusal", self._explanation)
            self._parts.complete("refusal")
        reason = FINISH_REASONS.get(self._stop_reason, FinishReason.OTHER)
        if reason is FinishReason.STOP and self._parts.tool_calls:
            reason = FinishReason.TOOL_CALLS
        return [*self._parts.drain(), Finished(reason, self._stop_reason, self.usage)]

    def drain(self) -> list[Event]:
        """Return the events since the last drain."""
        return self._parts.drain()

    def _add_text(self, index: int, fragment: str) -> None:
        self._has_text = self._has_text or bool(fragment)
        self._parts.add_text(index, fragment)

    def _set_signature(self, index: int, signature: str) -> None:
        if signature:
            self._parts.set_provider_state(index, Reasoning, signature.encode())

    def _add_input(self, index: int, fragment: str) -> None:
        # Fragments replace the initial input, which is {} if fragments follow.
        if fragment:
            self._initial_inputs.pop(index, None)
        self._parts.add_tool_call(index, "", "", fragment)
