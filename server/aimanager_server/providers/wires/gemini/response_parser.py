"""Parse a response of generateContent, streamed or not, into the same events.

A stream chunk has the shape of a whole response, so one code path reads both. Unknown parts are ignored and unknown
finish reasons are kept, because the API adds them without notice.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from ....core.content import Attachment, Reasoning, Text, ToolCall
from ....core.errors import ContentBlocked, GatewayError, ProviderInternalError, ProviderRejectedRequest
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage
from ..finish_reasons import printable_reason
from ..json_codec import encode_json, fragment_field, object_field, string_field
from ..part_assembler import PartAssembler
from ..token_counts import TokenCounts
from .errors import error_in_success

FINISH_REASONS: Mapping[str, FinishReason] = {
    "": FinishReason.STOP,
    "STOP": FinishReason.STOP,
    "FUNCTION_CALL": FinishReason.STOP,  # not Google's, but used by compatible servers
    "MAX_TOKENS": FinishReason.MAX_TOKENS,
    "CONTINUATION": FinishReason.MAX_TOKENS,
    **dict.fromkeys(
        (
            *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR"),
            *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "ESCALATION"),
        ),
        FinishReason.CONTENT_FILTER,
    ),
}
"""Each finish reason. STOP becomes TOOL_CALLS if the response contains tool calls, which also end with STOP."""

FAILED_FINISH_REASONS: Mapping[str, type[GatewayError]] = {
    "MALFORMED_FUNCTION_CALL": ProviderInternalError,
    "MALFORMED_RESPONSE": ProviderInternalError,
    "UNEXPECTED_TOOL_CALL": ProviderInternalError,
    "TOO_MANY_TOOL_CALLS": ProviderInternalError,
    "MISSING_THOUGHT_SIGNATURE": ProviderRejectedRequest,  # the request lacks it, so a retry fails too
}
"""Finish reasons that report a failure."""

NO_FINISH_REASONS = ("", "FINISH_REASON_UNSPECIFIED", "null", "None")
"""Values of `finishReason` that are none: some servers write null as a string."""


class GeminiParser:
    """Parse one response. Only the first candidate is read.

    Content after a finish reason is content, and the last finish reason counts: some servers send one with every chunk,
    or around each use of a built-in tool.
    """

    def __init__(self) -> None:
        self._parts = PartAssembler()
        self._slot = 0
        self._kind: type[Text | Reasoning] | None = None
        self._counts = TokenCounts()
        self._finish_reason: str | None = None
        self.has_started = False
        self.is_continued = False
        """True once content followed a finish reason, so that finish reasons prove nothing."""

    @property
    def has_finish_reason(self) -> bool:
        """True once a finish reason arrived."""
        return self._finish_reason is not None

    @property
    def usage(self) -> Usage:
        """The usage reported so far. Output excludes reasoning, so it is added; input includes cached tokens."""
        counts = self._counts
        return counts.usage(more_input_tokens=counts["tool_use_tokens"], more_output_tokens=counts["reasoning_tokens"])

    def add(self, response: Mapping[str, Any], *, whole: bool = False) -> None:
        """Parse one response or stream chunk. `whole`: its parts are complete, not fragments.

        Raises the GatewayError for an error object, a blocked prompt or a failed finish reason.
        """
        if response.get("error"):
            raise error_in_success(response)
        candidates = _objects(response.get("candidates"))
        blocked = fragment_field(object_field(response, "promptFeedback"), "blockReason")
        if blocked and not candidates and not self.has_started:
            raise ContentBlocked(f"The provider blocked the prompt: {printable_reason(blocked)}.", upstream_status=200)
        self._update_usage(object_field(response, "usageMetadata"))
        for candidate in candidates:
            if not candidate.get("index"):
                self._add_candidate(candidate, whole=whole)

    def drain(self) -> list[Event]:
        """Return the events since the last drain."""
        return self._parts.drain()

    def finish(self) -> list[Event]:
        """Complete all parts and return the last events."""
        self._complete_part()
        provider_reason = self._finish_reason or ""
        reason = FINISH_REASONS.get(provider_reason, FinishReason.OTHER)
        if reason is FinishReason.STOP and self._parts.tool_calls:
            reason = FinishReason.TOOL_CALLS
        return [*self._parts.drain(), Finished(reason, printable_reason(provider_reason), self.usage)]

    def _update_usage(self, usage: Mapping[str, Any]) -> None:
        # Counts are cumulative, and a chunk may omit some: each replaces only its own.
        self._counts.update(
            input_tokens=usage.get("promptTokenCount"),
            tool_use_tokens=usage.get("toolUsePromptTokenCount"),
            cache_read_tokens=usage.get("cachedContentTokenCount"),
            output_tokens=usage.get("candidatesTokenCount"),
            reasoning_tokens=usage.get("thoughtsTokenCount"),
        )

    def _add_candidate(self, candidate: Mapping[str, Any], *, whole: bool) -> None:
        self.has_started = True
        for part in _parts_in(candidate):
            self._add_part(part, whole=whole)
        reason = _finish_reason(candidate)
        if reason in NO_FINISH_REASONS:
            return
        if reason in FAILED_FINISH_REASONS:
            detail = printable_reason(fragment_field(candidate, "finishMessage"), 1000)
            suffix = f": {detail}" if detail else "."
            message = f"The provider ended the response with finish reason {reason!r}{suffix}"
            raise FAILED_FINISH_REASONS[reason](message, upstream_status=200)
        self._finish_reason = reason

    def _add_part(self, part: Mapping[str, Any], *, whole: bool) -> None:
        state = fragment_field(part, "thoughtSignature").encode("utf-8", "replace")
        if isinstance(part.get("functionCall"), dict):
            self._add_tool_call(part["functionCall"], state)
        elif isinstance(part.get("inlineData"), dict):
            self._add_file(part["inlineData"], state)
        elif "text" in part or part.keys() <= {"thought", "thoughtSignature"}:
            self._add_content(Reasoning if part.get("thought") is True else Text, _text_of(part), state, whole=whole)

    def _add_content(self, kind: type[Text | Reasoning], text: str, state: bytes, *, whole: bool) -> None:
        """Append to the current part, or start another one. A signature completes its part.

        A stream sends the signature with the last fragment or with an empty one after it.
        """
        if kind is not self._kind or (whole and text and state):
            self._complete_part()
        if not text and not state:
            return
        self._note_content()
        self._kind = kind
        if kind is Text:
            self._parts.add_text(self._slot, text)
        else:
            self._parts.add_reasoning(self._slot, text)
        if state:
            self._parts.set_provider_state(self._slot, kind, state)
            self._complete_part()

    def _add_tool_call(self, call: Mapping[str, Any], state: bytes) -> None:
        self._note_content()
        self._complete_part()
        arguments = call.get("args")
        arguments_json = "{}" if arguments is None else encode_json(arguments)
        if state:
            self._parts.set_provider_state(self._slot, ToolCall, state)
        self._parts.add_tool_call(self._slot, string_field(call, "id"), string_field(call, "name"), arguments_json)
        self._complete_part()

    def _add_file(self, blob: Mapping[str, Any], state: bytes) -> None:
        self._complete_part()
        try:
            data = b64decode(fragment_field(blob, "data"), validate=True)
        except ValueError:
            data = b""
        if not data:
            return  # An unreadable file is dropped.
        self._note_content()
        mime_type = string_field(blob, "mimeType") or "application/octet-stream"
        self._parts.add_attachment(Attachment(mime_type, data=data, provider_state=state))

    def _note_content(self) -> None:
        if self._finish_reason is not None:
            self.is_continued = True

    def _complete_part(self) -> None:
        self._parts.complete(self._slot)
        self._slot += 1
        self._kind = None


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; some servers send a single object in its place."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def _parts_in(candidate: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parts of a candidate. Older models have a string as `content` or `output`."""
    content = candidate.get("content", candidate.get("output"))
    parts = content.get("parts", ()) if isinstance(content, dict) else content
    items = parts if isinstance(parts, list) else [parts]
    return [{"text": item} if isinstance(item, str) else item for item in items if isinstance(item, str | dict)]


def _text_of(part: Mapping[str, Any]) -> str:
    """Return the text of a part. Some servers send a number or an object where the model wrote one."""
    text = part.get("text")
    return text if isinstance(text, str) else "" if text is None else encode_json(text)


def _finish_reason(candidate: Mapping[str, Any]) -> str:
    """Return the finish reason. Known ones may be in lower case, as Google's SDK accepts them."""
    reason = fragment_field(candidate, "finishReason")
    known = reason.upper() if len(reason) < 100 else ""
    return known if known in FINISH_REASONS or known in FAILED_FINISH_REASONS else reason
