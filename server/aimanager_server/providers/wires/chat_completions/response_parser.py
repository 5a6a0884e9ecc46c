"""Collects an answer of the chat-completions wire, whole or in chunks, into events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.errors import ProviderInternalError, ProviderOverloaded
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage
from ....telemetry.redaction import masked
from ..dialect import Parts
from ..json_codec import mended
from ..provider_errors import fault_inside
from .hidden_reasoning import thinks_unseen
from .tool_calls import ToolCalls
from .usage import usage_of

FINISHES: Mapping[str, FinishReason] = {
    "": FinishReason.STOP,
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "tool_calls": FinishReason.STOP,
    "function_call": FinishReason.STOP,
    "length": FinishReason.MAX_TOKENS,
    "model_length": FinishReason.CONTEXT_WINDOW,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""Our word for each finish reason. Whether STOP means tool calls is told from the content, for servers lie here."""

FAILURES = {
    "insufficient_system_resource": ProviderOverloaded,
    "error": ProviderInternalError,
    "abort": ProviderInternalError,
}
"""Ends that are failures of the provider: DeepSeek's, Mistral's, vLLM's."""


class Answer:
    """What was said so far. Only the first choice counts; what comes after its finish reason is ignored."""

    def __init__(self) -> None:
        self._parts = Parts()
        self._tools = ToolCalls(self._parts)
        self._reason: str | None = None
        self._refused = False
        self.begun = False
        self.usage = Usage()

    @property
    def has_finish_reason(self) -> bool:
        """The provider said why it stopped: the answer is complete."""
        return self._reason is not None

    def take(self, body: Mapping[str, Any], field: str) -> bool:
        """One chunk (`field` is "delta") or a whole body ("message").

        True where nothing is left to wait for: finish reason and usage are both there. Raises the fault that an error
        inside means.
        """
        if body.get("error"):
            raise fault_inside(body)
        if body.get("object") == "error":
            raise fault_inside(body)
        choices = body.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and not choice.get("index") and not self.has_finish_reason:
                self._choice(choice, field)
        counted = usage_of(body.get("usage"))
        # What Groq counts by itself stands until the standard count comes, if it does.
        told = counted or usage_of(_groqs(body))
        if told is not None:
            self.usage = told
        return counted is not None and self.has_finish_reason

    def drain(self) -> list[Event]:
        """The events since the last drain."""
        return self._parts.drain()

    def finish(self) -> list[Event]:
        """The last events."""
        self._parts.complete_all()
        raw = self._reason or ""
        return [*self._parts.drain(), Finished(self._finish_reason(raw), masked(mended(raw)), self.usage)]

    def _finish_reason(self, raw: str) -> FinishReason:
        reason = FINISHES.get(raw, FinishReason.OTHER)
        if reason is not FinishReason.STOP:
            return reason
        if self._refused:
            return FinishReason.REFUSAL
        return FinishReason.TOOL_CALLS if self._parts.tool_calls else FinishReason.STOP

    def _choice(self, choice: Mapping[str, Any], field: str) -> None:
        said, reason = choice.get(field), choice.get("finish_reason")
        if isinstance(said, dict):
            if field == "delta" and not reason and thinks_unseen(said, is_first=not self.begun):
                self._parts.thinking()
            self._say(said)
        self.begun = True
        if isinstance(reason, str) and reason:
            if reason in FAILURES:
                raise FAILURES[reason](f"The provider ended the answer with {reason!r}.", upstream_status=200)
            self._reason = reason

    def _say(self, said: Mapping[str, Any]) -> None:
        reasoning = said.get("reasoning_content") or said.get("reasoning")
        if isinstance(reasoning, str):
            self._reason_on(reasoning)
        content = said.get("content")
        if isinstance(content, str):
            self._write(content)
        elif isinstance(content, list):
            self._list(content)
        refusal = said.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refused = True
            self._parts.text("refusal", refusal)
        calls = said.get("tool_calls")
        if isinstance(calls, list):
            self._call(calls)

    def _list(self, content: list[Any]) -> None:
        # Mistral's reasoning models: content is a list of thinking and text.
        for item in content:
            if not isinstance(item, dict):
                continue
            thinking, text = item.get("thinking"), item.get("text")
            if isinstance(thinking, str):
                self._reason_on(thinking)
            elif isinstance(thinking, list):
                for piece in thinking:
                    self._reason_on(_text_of(piece))
            elif isinstance(text, str):
                self._write(text)

    def _reason_on(self, fragment: str) -> None:
        if fragment:
            self._parts.complete("text")
            self._parts.reasoning("reasoning", fragment)

    def _write(self, fragment: str) -> None:
        if fragment:
            self._parts.complete("reasoning")
            self._parts.text("text", fragment)

    def _call(self, calls: list[Any]) -> None:
        for call in calls:
            if isinstance(call, dict):
                self._parts.complete("reasoning")
                self._parts.complete("text")
                self._tools.take(call)


def _groqs(body: Mapping[str, Any]) -> Any:
    """Where Groq counts on streams that were not asked to."""
    own = body.get("x_groq")
    return own.get("usage") if isinstance(own, dict) else None


def _text_of(piece: Any) -> str:
    text = piece.get("text") if isinstance(piece, dict) else piece
    return text if isinstance(text, str) else ""
