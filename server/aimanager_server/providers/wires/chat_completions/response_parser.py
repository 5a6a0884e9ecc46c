"""Parse a response of the chat-completions wire, unstreamed or in chunks, into events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.errors import ProviderInternalError, ProviderOverloaded, ProviderProtocolError
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage
from ..finish_reasons import printable_reason
from ..json_codec import object_field
from ..part_assembler import PartAssembler
from ..provider_errors import error_in_success
from .content import content_pieces
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

NO_FINISH_REASONS = ("", "null", "None")
"""Values of `finish_reason` that are none: some servers write null as a string."""

FAILED_FINISH_REASONS = {
    "insufficient_system_resource": ProviderOverloaded,  # DeepSeek
    "error": ProviderInternalError,  # Mistral
    "abort": ProviderInternalError,  # vLLM
}
"""Finish reasons that report a failure of the provider."""


MESSAGE_FIELDS = {"delta": ("delta", "message", "text"), "message": ("message", "delta", "text")}
"""The fields of a choice that may contain its content, by the field that should: `text` is that of older servers."""


class ChatCompletionsParser:
    """Parse one response. Only the first choice is read.

    Content after a finish reason is content, and the last finish reason counts: some servers send one with every chunk.
    """

    __slots__ = (
        "_field", "_finish_reason", "_parts", "_refused", "_tool_calls", "has_started", "is_continued", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parts = PartAssembler()
        self._tool_calls = ToolCallAssembler(self._parts)
        self._field = ""
        self._finish_reason: str | None = None
        self._refused = False
        self.has_started = False
        self.is_continued = False
        """True once content followed a finish reason, so that finish reasons prove nothing."""
        self.usage = Usage()

    @property
    def has_finish_reason(self) -> bool:
        """True once a finish reason arrived."""
        return self._finish_reason is not None

    def add(self, body: Mapping[str, Any], field: str) -> None:
        """Parse one chunk (`field` is "delta") or a whole body (`field` is "message").

        Raises the GatewayError for an error object or a failed finish reason.
        """
        if body.get("error") or body.get("object") == "error":
            raise error_in_success(body)
        choices = body.get("choices")
        for choice in choices if isinstance(choices, list) else (choices,):
            if isinstance(choice, dict) and not choice.get("index"):
                self._add_choice(choice, field)
        reported = body.get("usage")
        usage = parse_usage(reported) if reported else None
        if usage is not None:
            self.usage = usage
        elif "x_groq" in body:
            # Groq's own usage field is used until the standard one arrives, if ever.
            self.usage = parse_usage(object_field(body, "x_groq").get("usage")) or self.usage

    def drain(self) -> list[Event]:
        """Return the events since the last drain."""
        return self._parts.drain()

    def finish(self) -> list[Event]:
        """Complete all parts and return the last events."""
        self._parts.complete_all()
        provider_reason = self._finish_reason or ""
        finished = Finished(self._map_reason(provider_reason), printable_reason(provider_reason), self.usage)
        return [*self._parts.drain(), finished]

    def _map_reason(self, provider_reason: str) -> FinishReason:
        reason = FINISH_REASONS.get(provider_reason, FinishReason.OTHER)
        if reason is not FinishReason.STOP:
            return reason
        if self._refused:
            return FinishReason.REFUSAL
        return FinishReason.TOOL_CALLS if self._parts.tool_calls else FinishReason.STOP

    def _add_choice(self, choice: Mapping[str, Any], field: str) -> None:
        self.has_started = True
        message = choice.get(field) if self._field == field else None
        if message is None:
            message = self._find_message(choice, field)
        if isinstance(message, dict):
            self._add_message(message)
        elif message is not None:
            self._add_content(message)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason not in NO_FINISH_REASONS:
            if reason in FAILED_FINISH_REASONS:
                raise FAILED_FINISH_REASONS[reason](
                    f"The provider ended the response with finish reason {reason!r}.", upstream_status=200
                )
            self._finish_reason = reason

    def _find_message(self, choice: Mapping[str, Any], field: str) -> Any:
        """Return the message of a choice. The field that brought the first content is the only one that is read.

        Some servers send the text so far as `message` beside each delta, or all of it after the last delta. Raises
        ProviderProtocolError for content in another field, which would be lost.
        """
        found = next((name for name in MESSAGE_FIELDS[field] if choice.get(name)), None)
        if self._field:
            message = choice.get(self._field)
            if message is None and found is not None:
                self._reject_lost_message(choice, found)
            return message
        if found is None:
            return None
        if _has_content(choice[found]):
            self._field = found
        return choice[found]

    def _reject_lost_message(self, choice: Mapping[str, Any], found: str) -> None:
        message = choice[found]
        if not _has_content(message):
            return
        text = message.get("content") if isinstance(message, dict) else message
        # Compared once at most, since it takes time in proportion to the text.
        is_repetition = self._finish_reason is None and choice.get("finish_reason")
        if not (is_repetition and text == self._parts.text_of("text")):
            raise ProviderProtocolError(f"The provider sent content in {self._field!r} and in {found!r}.")

    def _add_message(self, message: Mapping[str, Any]) -> None:
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(reasoning, str):
            self._add_reasoning(reasoning)
        content = message.get("content")
        if isinstance(content, str):
            self._add_text(content)
        elif content is not None:
            self._add_content(content)
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refused = True
            self._note_content()
            self._parts.add_text("refusal", refusal)
        tool_calls = message.get("tool_calls")
        if tool_calls:
            self._add_tool_calls(tool_calls if isinstance(tool_calls, list) else [tool_calls])
        elif isinstance(message.get("function_call"), dict):
            # The older form of a tool call, without index and id.
            self._add_tool_calls([{"function": message["function_call"]}])
        if "reasoning_details" in message and is_hidden_reasoning(message):
            self._parts.add_reasoning_progress()

    def _add_content(self, content: Any) -> None:
        for kind, text in content_pieces(content):
            if kind == "text":
                self._add_text(text)
            else:
                self._add_reasoning(text)

    def _add_reasoning(self, fragment: str) -> None:
        if fragment:
            self._note_content()
            self._parts.complete("text")
            self._parts.add_reasoning("reasoning", fragment)

    def _add_text(self, fragment: str) -> None:
        if fragment:
            self._note_content()
            self._parts.complete("reasoning")
            self._parts.add_text("text", fragment)

    def _add_tool_calls(self, entries: list[Any]) -> None:
        for entry in entries:
            if isinstance(entry, dict):
                self._note_content()
                self._parts.complete("reasoning")
                self._parts.complete("text")
                self._tool_calls.add(entry)

    def _note_content(self) -> None:
        if self._finish_reason is not None:
            self.is_continued = True


def _has_content(message: Any) -> bool:
    return not isinstance(message, dict) or any(message[name] for name in message if name != "role")
