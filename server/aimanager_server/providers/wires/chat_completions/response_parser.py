"""Parse a response of the chat-completions wire, unstreamed or in chunks, into events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.errors import ProviderInternalError, ProviderOverloaded
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage
from ....telemetry.redaction import redact
from ..json_codec import fix_surrogates, fragment_field, object_field
from ..part_assembler import PartAssembler
from ..provider_errors import error_in_success
from .hidden_reasoning import is_hidden_reasoning
from .tool_calls import ToolCallAssembler
from .usage import parse_usage

FINISH_REASONS: Mapping[str, FinishReason] = {
    "": FinishReason.STOP,
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "tool_calls": FinishReason.STOP,
    "function_call": FinishReason.STOP,
    "length": FinishReason.MAX_TOKENS,
    "model_length": FinishReason.CONTEXT_WINDOW,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""Each finish reason. STOP becomes TOOL_CALLS if the response contains tool calls: servers report it unreliably."""

FAILED_FINISH_REASONS = {
    "insufficient_system_resource": ProviderOverloaded,  # DeepSeek
    "error": ProviderInternalError,  # Mistral
    "abort": ProviderInternalError,  # vLLM
}
"""Finish reasons that report a failure of the provider."""


class ChatCompletionsParser:
    """Parse one response. Only the first choice is read, up to its finish reason."""

    __slots__ = ("_finish_reason", "_parts", "_refused", "_tool_calls", "has_started", "usage")

    def __init__(self) -> None:
        self._parts = PartAssembler()
        self._tool_calls = ToolCallAssembler(self._parts)
        self._finish_reason: str | None = None
        self._refused = False
        self.has_started = False
        self.usage = Usage()

    @property
    def has_finish_reason(self) -> bool:
        """True once a finish reason arrived: the content is complete."""
        return self._finish_reason is not None

    def add(self, body: Mapping[str, Any], field: str) -> bool:
        """Parse one chunk (`field` is "delta") or a whole body (`field` is "message").

        Returns True once both the finish reason and the usage have arrived. Raises the GatewayError for an error
        object or a failed finish reason.
        """
        if body.get("error") or body.get("object") == "error":
            raise error_in_success(body)
        choices = body.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and not choice.get("index") and self._finish_reason is None:
                self._add_choice(choice, field)
        reported = body.get("usage")
        usage = parse_usage(reported) if reported else None
        if usage is not None:
            self.usage = usage
            return self.has_finish_reason
        if "x_groq" in body:
            # Groq's own usage field is used until the standard one arrives, if ever.
            self.usage = parse_usage(object_field(body, "x_groq").get("usage")) or self.usage
        return False

    def drain(self) -> list[Event]:
        """Return the events since the last drain."""
        return self._parts.drain()

    def finish(self) -> list[Event]:
        """Complete all parts and return the last events."""
        self._parts.complete_all()
        provider_reason = self._finish_reason or ""
        finished = Finished(self._map_reason(provider_reason), redact(fix_surrogates(provider_reason)), self.usage)
        return [*self._parts.drain(), finished]

    def _map_reason(self, provider_reason: str) -> FinishReason:
        reason = FINISH_REASONS.get(provider_reason, FinishReason.OTHER)
        if reason is not FinishReason.STOP:
            return reason
        if self._refused:
            return FinishReason.REFUSAL
        return FinishReason.TOOL_CALLS if self._parts.tool_calls else FinishReason.STOP

    def _add_choice(self, choice: Mapping[str, Any], field: str) -> None:
        message, reason = choice.get(field), choice.get("finish_reason")
        if isinstance(message, dict):
            if field == "delta" and not reason and is_hidden_reasoning(message, is_first=not self.has_started):
                self._parts.add_reasoning_progress()
            self._add_message(message)
        self.has_started = True
        if isinstance(reason, str) and reason:
            if reason in FAILED_FINISH_REASONS:
                raise FAILED_FINISH_REASONS[reason](
                    f"The provider ended the response with finish reason {reason!r}.", upstream_status=200
                )
            self._finish_reason = reason

    def _add_message(self, message: Mapping[str, Any]) -> None:
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(reasoning, str):
            self._add_reasoning(reasoning)
        content = message.get("content")
        if isinstance(content, str):
            self._add_text(content)
        elif isinstance(content, list):
            self._add_items(content)
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refused = True
            self._parts.add_text("refusal", refusal)
        tool_calls = message.get("tool_calls")
        if isinstance(tool_calls, list):
            self._add_tool_calls(tool_calls)

    def _add_items(self, content: list[Any]) -> None:
        # Mistral's reasoning models send the content as a list of thinking and text items.
        for item in content:
            if not isinstance(item, dict):
                continue
            thinking, text = item.get("thinking"), item.get("text")
            if isinstance(thinking, str):
                self._add_reasoning(thinking)
            elif isinstance(thinking, list):
                for piece in thinking:
                    self._add_reasoning(_text_of(piece))
            elif isinstance(text, str):
                self._add_text(text)

    def _add_reasoning(self, fragment: str) -> None:
        if fragment:
            self._parts.complete("text")
            self._parts.add_reasoning("reasoning", fragment)

    def _add_text(self, fragment: str) -> None:
        if fragment:
            self._parts.complete("reasoning")
            self._parts.add_text("text", fragment)

    def _add_tool_calls(self, entries: list[Any]) -> None:
        for entry in entries:
            if isinstance(entry, dict):
                self._parts.complete("reasoning")
                self._parts.complete("text")
                self._tool_calls.add(entry)


def _text_of(piece: Any) -> str:
    if isinstance(piece, dict):
        return fragment_field(piece, "text")
    return piece if isinstance(piece, str) else ""
