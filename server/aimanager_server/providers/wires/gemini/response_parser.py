"""Reads one answer of generateContent, whole or in pieces, into the same events.

A piece has the shape of a whole answer, so both are read by the same steps. Parts and reasons that are not known appear
without notice: the former are passed over, the latter kept as they are.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from ....core.content import Attachment, Reasoning, Text, ToolCall
from ....core.errors import ContentBlocked, GatewayError, ProviderInternalError, ProviderRejectedRequest
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage, UsageSource
from ....telemetry.redaction import masked
from ..dialect import Parts
from ..json_codec import count_of, json_of, mended
from .errors import fault_inside

FINISHES: Mapping[str, FinishReason] = {
    "": FinishReason.STOP,
    "STOP": FinishReason.STOP,
    "FUNCTION_CALL": FinishReason.STOP,  # unknown to Google, and yet what stand-ins say
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
"""Our word for each finish reason. Calls end with STOP too, so whether it means them is told from the content."""

FAILURES: Mapping[str, type[GatewayError]] = {
    "MALFORMED_FUNCTION_CALL": ProviderInternalError,
    "MALFORMED_RESPONSE": ProviderInternalError,
    "UNEXPECTED_TOOL_CALL": ProviderInternalError,
    "TOO_MANY_TOOL_CALLS": ProviderInternalError,
    "MISSING_THOUGHT_SIGNATURE": ProviderRejectedRequest,  # the question lacks it, so asking again changes nothing
}
"""Ends that are no answer."""

UNSAID = "FINISH_REASON_UNSPECIFIED"

COUNTS = (
    *("promptTokenCount", "toolUsePromptTokenCount", "cachedContentTokenCount"),
    *("candidatesTokenCount", "thoughtsTokenCount"),
)


def text_of(value: Mapping[str, Any], field: str) -> str:
    """A string of the provider's, empty where there is none; half a surrogate pair in it is kept."""
    found = value.get(field)
    return found if isinstance(found, str) else ""


def object_of(value: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """An object of the provider's, empty where there is none."""
    found = value.get(field)
    return found if isinstance(found, dict) else {}


def list_of(value: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """The objects in a list of the provider's, empty where there is none."""
    found = value.get(field)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


class Answer:
    """One answer in the making. Only the first candidate counts."""

    def __init__(self) -> None:
        self._parts = Parts()
        self._slot = 0
        self._kind: type[Text | Reasoning] | None = None
        self._counts: dict[str, int] = {}
        self._reason: str | None = None
        self.begun = False

    @property
    def has_finish_reason(self) -> bool:
        """The provider said why it stopped: the answer is complete."""
        return self._reason is not None

    @property
    def usage(self) -> Usage:
        """What was counted so far. Thoughts stand beside the candidates, so they are added; what was cached is not.

        All zero is what servers say that do not count.
        """
        counts = self._counts
        thoughts = counts.get("thoughtsTokenCount", 0)
        return Usage(
            input_tokens=counts.get("promptTokenCount", 0) + counts.get("toolUsePromptTokenCount", 0),
            output_tokens=counts.get("candidatesTokenCount", 0) + thoughts,
            cache_read_tokens=counts.get("cachedContentTokenCount", 0),
            reasoning_tokens=thoughts,
            source=UsageSource.REPORTED if any(counts.values()) else UsageSource.MISSING,
        )

    def take(self, response: Mapping[str, Any], *, whole: bool = False) -> bool:
        """One response; `whole`: its parts are parts, not pieces of them.

        True where nothing is left to wait for: finish reason and usage are both there. Raises the fault that an error
        inside, a blocked prompt or a failed end means.
        """
        if response.get("error"):
            raise fault_inside(response)
        candidates = list_of(response, "candidates")
        blocked = text_of(object_of(response, "promptFeedback"), "blockReason")
        if blocked and not candidates and not self.begun:
            raise ContentBlocked(f"The provider blocked the prompt: {masked(blocked)}.", upstream_status=200)
        self._count(object_of(response, "usageMetadata"))
        for candidate in candidates:
            if not candidate.get("index") and not self.has_finish_reason:
                self._candidate(candidate, whole=whole)
        return self.has_finish_reason and "usageMetadata" in response

    def drain(self) -> list[Event]:
        """The events since the last drain."""
        return self._parts.drain()

    def finish(self) -> list[Event]:
        """The last events."""
        self._close()
        raw = self._reason or ""
        reason = FINISHES.get(raw, FinishReason.OTHER)
        if reason is FinishReason.STOP and self._parts.tool_calls:
            reason = FinishReason.TOOL_CALLS
        return [*self._parts.drain(), Finished(reason, masked(mended(raw)), self.usage)]

    def _count(self, usage: Mapping[str, Any]) -> None:
        # Counts are cumulative, and a response may leave some out: each replaces its own.
        given = {field: usage.get(field) for field in COUNTS}
        self._counts.update({field: count_of(count) for field, count in given.items() if isinstance(count, int)})

    def _candidate(self, candidate: Mapping[str, Any], *, whole: bool) -> None:
        self.begun = True
        for part in list_of(object_of(candidate, "content"), "parts"):
            self._part(part, whole=whole)
        reason = text_of(candidate, "finishReason")
        if not reason or reason == UNSAID:
            return
        if reason in FAILURES:
            why = masked(mended(text_of(candidate, "finishMessage")))
            message = f"The provider ended the answer with {reason!r}{f': {why}' if why else '.'}"
            raise FAILURES[reason](message, upstream_status=200)
        self._reason = reason

    def _part(self, part: Mapping[str, Any], *, whole: bool) -> None:
        state = text_of(part, "thoughtSignature").encode("utf-8", "replace")
        if isinstance(part.get("functionCall"), dict):
            self._call(part["functionCall"], state)
        elif isinstance(part.get("inlineData"), dict):
            self._file(part["inlineData"], state)
        elif isinstance(part.get("text"), str) or part.keys() <= {"thought", "thoughtSignature"}:
            kind, text = Reasoning if part.get("thought") is True else Text, text_of(part, "text")
            if kind is Reasoning and not text and not whole:
                self._parts.thinking()
            self._say(kind, text, state, whole=whole)

    def _say(self, kind: type[Text | Reasoning], text: str, state: bytes, *, whole: bool) -> None:
        """More of a part, or another one: a signature ends its part, for no two parts may share one.

        A stream sends it with the last piece or with an empty one behind it.
        """
        if kind is not self._kind or (whole and text and state):
            self._close()
        if not text and not state:
            return
        self._kind = kind
        if kind is Text:
            self._parts.text(self._slot, text)
        else:
            self._parts.reasoning(self._slot, text)
        if state:
            self._parts.state(self._slot, kind, state)
            self._close()

    def _call(self, call: Mapping[str, Any], state: bytes) -> None:
        self._close()
        arguments = call.get("args")
        written = "{}" if arguments is None else json_of(arguments)
        if state:
            self._parts.state(self._slot, ToolCall, state)
        self._parts.tool(self._slot, mended(text_of(call, "id")), mended(text_of(call, "name")), written)
        self._close()

    def _file(self, blob: Mapping[str, Any], state: bytes) -> None:
        self._close()
        try:
            data = b64decode(text_of(blob, "data"), validate=True)
        except ValueError:
            data = b""
        if not data:
            return  # a file that cannot be read is no file
        mime_type = mended(text_of(blob, "mimeType")) or "application/octet-stream"
        self._parts.file(Attachment(mime_type, data=data, provider_state=state))

    def _close(self) -> None:
        self._parts.complete(self._slot)
        self._slot += 1
        self._kind = None
