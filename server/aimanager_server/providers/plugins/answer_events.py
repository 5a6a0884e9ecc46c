"""The events of a response that a provider class returns, whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...core.content import Part, Reasoning, Text, ToolCall
from ...core.errors import ProviderProtocolError
from ...core.response import Event, Finished, FinishReason, PartCompleted, ReasoningDelta, TextDelta
from ...core.usage import Usage, UsageSource

COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
FINISH_REASONS = {reason.value: reason for reason in FinishReason}


class AnswerEvents:
    """Turns answers into events. An answer is a str, or has the attributes of `aimanager.AIResponse`.

    Its attributes are `content`, `reasoning`, `tool_calls`, `usage` and `finish_reason`; those that are missing are
    empty. Raises ProviderProtocolError for content that is not text.
    """

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._texts: list[str] = []
        self._kind: type[Text] | type[Reasoning] | None = None
        self._usage = Usage()
        self._reason = FinishReason.STOP

    def of(self, answer: Any) -> Iterator[Event]:
        """Yield the events of an answer, or of one more piece of it."""
        if isinstance(answer, str):
            yield from self._more(Text, answer)
            return
        yield from self._more(Reasoning, getattr(answer, "reasoning", None) or "")
        yield from self._more(Text, getattr(answer, "content", None) or "")
        for call in getattr(answer, "tool_calls", None) or ():
            yield from self._complete()
            yield from self._part(ToolCall(str(call.id), str(call.name), json.dumps(call.arguments)))
            self._reason = FinishReason.TOOL_CALLS
        self._usage = _usage(getattr(answer, "usage", None)) or self._usage
        self._reason = FINISH_REASONS.get(str(getattr(answer, "finish_reason", "")), self._reason)

    def end(self) -> Iterator[Event]:
        """Yield the last events."""
        yield from self._complete()
        yield Finished(self._reason, usage=self._usage, is_empty=not self._parts)

    def _more(self, kind: type[Text] | type[Reasoning], text: Any) -> Iterator[Event]:
        if not isinstance(text, str):
            raise ProviderProtocolError(f"The plug-in's response must have text, got {type(text).__name__!r}.")
        if not text:
            return
        if kind is not self._kind:
            yield from self._complete()
            self._kind = kind
        self._texts.append(text)
        index = len(self._parts)
        yield TextDelta(index, text) if kind is Text else ReasoningDelta(index, text)

    def _complete(self) -> Iterator[Event]:
        kind, self._kind = self._kind, None
        if kind is not None:
            text, self._texts = "".join(self._texts), []
            yield from self._part(kind(text))

    def _part(self, part: Part) -> Iterator[Event]:
        self._parts.append(part)
        yield PartCompleted(len(self._parts) - 1, part)


def _usage(usage: Any) -> Usage | None:
    """Return the usage of a mapping or an object; None if it counts nothing."""
    counts = {name: usage.get(name) if isinstance(usage, Mapping) else getattr(usage, name, None) for name in COUNTS}
    valid = {name: count for name, count in counts.items() if isinstance(count, int) and count > 0}
    return Usage(**valid, source=UsageSource.REPORTED) if valid else None
