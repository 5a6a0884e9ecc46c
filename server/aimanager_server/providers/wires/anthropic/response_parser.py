"""Parse a response of the Messages API, streamed or not, into the same events.

An unstreamed response is parsed as a stream with one fragment per block, so that both always agree. Unknown types of
events, blocks and deltas are ignored, because the API adds them without notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.content import Reasoning
from ....core.errors import ProviderProtocolError
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage
from ..finish_reasons import printable_reason
from ..json_codec import encode_json, fix_surrogates, object_field, string_field
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


DELTA_FIELDS: Mapping[str, tuple[str, str]] = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
}
"""The block type that each delta type belongs to, and its field. Other delta types, such as citations, are ignored."""

OPENING_DELTAS = ("text_delta", "thinking_delta")
"""Deltas that open a block, for servers that send no `content_block_start`."""

KNOWN_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use")


class AnthropicParser:
    """Parse one response."""

    def __init__(self) -> None:
        self._parts = PartAssembler()
        self._open_kinds: dict[int, str] = {}
        self._last_index = -1
        self._used_indices: set[int] = set()
        self._initial_inputs: dict[int, str] = {}
        self._counts = TokenCounts()
        self._has_text = self._lists_content = self._has_other_content = False
        self._stop_reason = ""
        self._explanation = ""
        self._has_delta = self._has_final_count = False

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
            long_cache_write_tokens=object_field(usage, "cache_creation").get("ephemeral_1h_input_tokens"),
            reasoning_tokens=object_field(usage, "output_tokens_details").get("thinking_tokens"),
        )

    def start_message(self, message: Mapping[str, Any]) -> None:
        """Start the message, which may already have content. Raises ProviderProtocolError if it has started before."""
        if self._used_indices or self._has_delta:
            raise ProviderProtocolError("The stream started again after its first content.")
        self.update_usage(object_field(message, "usage"))
        self.set_stop_reason(message)
        content = message.get("content")
        if content is not None:
            self.add_blocks(content or [])

    def add_message_delta(self, payload: Mapping[str, Any]) -> None:
        """Read why the model stopped, and the usage so far."""
        usage = object_field(payload, "usage")
        self._has_delta = True
        self._has_final_count = self._has_final_count or usage.get("output_tokens") is not None
        self.set_stop_reason(object_field(payload, "delta"))
        self.update_usage(usage)

    def end_message(self) -> None:
        """Check that the message is complete. Raises ProviderProtocolError if nothing states why it ended.

        The output count of `message_start` is only the beginning; without a later one the usage is an estimate.
        """
        if not self._has_delta and not self._stop_reason:
            raise ProviderProtocolError("The message ended without 'message_delta', which states why.")
        if not self._has_final_count:
            self._counts.discard("output_tokens")

    def add_blocks(self, content: Any) -> None:
        """Add complete blocks. Raises ProviderProtocolError if `content` is not a list."""
        if not isinstance(content, list):
            raise ProviderProtocolError("The response has no list of content blocks.")
        self._lists_content = True
        for index, block in enumerate(content):
            self.start_block(index, block if isinstance(block, dict) else {})
            # Parts without visible content get their index when completed, so each block is closed before the next.
            self.close_block(index)

    def start_block(self, index: int | None, block: Mapping[str, Any]) -> None:
        """Start a block with its initial content. Without an index it is the next one.

        Raises ProviderProtocolError if the index was used before, because its content may be a repetition.
        """
        index = self._last_index + 1 if index is None else index
        self._open_block(index, string_field(block, "type"))
        match self._open_kinds[index]:
            case "text":
                self._add_text(index, _text(block, "text"))
            case "thinking":
                self._parts.add_reasoning(index, _text(block, "thinking"))
                self._set_signature(index, string_field(block, "signature"))
            case "redacted_thinking":
                self._parts.add_redacted_reasoning(index, string_field(block, "data").encode())
            case "tool_use":
                self._parts.add_tool_call(index, string_field(block, "id"), string_field(block, "name"), "")
                self._initial_inputs[index] = _input_json(block.get("input"))

    def add_delta(self, index: int | None, delta: Mapping[str, Any]) -> None:
        """Append a delta to a block; without an index to the last one.

        Raises ProviderProtocolError for a delta that belongs to no block or to one of another type.
        """
        index = self._last_index if index is None else index
        delta_type = string_field(delta, "type")
        kind, field = DELTA_FIELDS.get(delta_type, ("", ""))
        self._has_other_content = self._has_other_content or not kind
        if not kind or not (fragment := _text(delta, field)):
            return
        if self._block_of_delta(index, kind, delta_type) != kind:
            return
        match delta_type:
            case "text_delta":
                self._add_text(index, fragment)
            case "thinking_delta":
                self._parts.add_reasoning(index, fragment)
            case "signature_delta":
                self._set_signature(index, fix_surrogates(fragment))
            case "input_json_delta":
                # Fragments replace the initial input, which is {} if fragments follow.
                self._initial_inputs.pop(index, None)
                self._parts.add_tool_call(index, "", "", fragment)

    def add_reasoning_progress(self) -> None:
        """Report that the model is reasoning without visible content."""
        self._parts.add_reasoning_progress()

    def close_block(self, index: int | None) -> None:
        """Complete a block; without an index the last one. A block that is not open is ignored."""
        index = self._last_index if index is None else index
        initial_input = self._initial_inputs.pop(index, "")
        if initial_input:
            self._parts.add_tool_call(index, "", "", initial_input)
        self._open_kinds.pop(index, None)
        self._parts.complete(index)

    def set_stop_reason(self, delta: Mapping[str, Any]) -> None:
        """Record why the model stopped. A later delta replaces only what it contains."""
        self._stop_reason = string_field(delta, "stop_reason") or self._stop_reason
        self._explanation = string_field(object_field(delta, "stop_details"), "explanation") or self._explanation

    def finish(self) -> list[Event]:
        """Complete all open blocks and return the last events. Call it once the completion event arrived."""
        for index in list(self._open_kinds):
            self.close_block(index)
        if self._stop_reason == "refusal" and not self._has_text:
            self._parts.add_text("refusal", self._explanation)
            self._parts.complete("refusal")
        reason = FINISH_REASONS.get(self._stop_reason, FinishReason.OTHER)
        if reason is FinishReason.STOP and self._parts.tool_calls:
            reason = FinishReason.TOOL_CALLS
        finished = Finished(reason, printable_reason(self._stop_reason), self.usage, is_empty=self._is_empty())
        return [*self._parts.drain(), finished]

    def drain(self) -> list[Event]:
        """Return the events since the last drain."""
        return self._parts.drain()

    def _is_empty(self) -> bool:
        """Return whether the model ended its turn without content, such as after a tool result: a documented answer.

        Its few output tokens are not content in an unknown form: the list of blocks has no other than empty texts.
        """
        is_complete = self._stop_reason == "end_turn" and self._lists_content
        return is_complete and not self._has_text and not self._has_other_content

    def _block_of_delta(self, index: int, kind: str, delta_type: str) -> str:
        """Return the type of the block that a delta belongs to, which is `kind` unless the delta is to be ignored."""
        opened = self._open_kinds.get(index)
        if opened is None and delta_type in OPENING_DELTAS:
            self._open_block(index, kind)
            return kind
        if opened == kind or delta_type == "signature_delta":
            return opened or ""
        if opened is None:
            raise ProviderProtocolError(f"The stream has a {delta_type!r} for a block that is not open.")
        if opened in KNOWN_BLOCKS:
            raise ProviderProtocolError(f"The stream has a {delta_type!r} for a block of type {opened!r}.")
        return opened

    def _open_block(self, index: int, kind: str) -> None:
        if index in self._used_indices:
            raise ProviderProtocolError(f"The stream has two content blocks with index {index}.")
        self._used_indices.add(index)
        self._last_index = index
        self._open_kinds[index] = kind
        self._has_other_content = self._has_other_content or kind != "text"

    def _add_text(self, index: int, fragment: str) -> None:
        self._has_text = self._has_text or bool(fragment)
        self._parts.add_text(index, fragment)

    def _set_signature(self, index: int, signature: str) -> None:
        if signature:
            self._parts.set_provider_state(index, Reasoning, signature.encode())


def _text(holder: Mapping[str, Any], field: str) -> str:
    """Return a text field; empty if it is missing. Raises ProviderProtocolError if it is not a string."""
    value = holder.get(field)
    if value is not None and not isinstance(value, str):
        raise ProviderProtocolError(f"The {field} of a content block must be a string, got {type(value).__name__!r}.")
    return value or ""


def _input_json(value: Any) -> str:
    """Return the complete input of a tool call as JSON; empty without an input. Some servers send it as a string."""
    if isinstance(value, str):
        return value
    return encode_json(value) if value else ""
