"""Keeps whole answers for a while, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ..core.content import Attachment, Reasoning, Text, ToolCall
from ..core.handler import Clock
from ..core.response import GenerateResult

OVERHEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: int
    completion: GenerateResult
    size: int
    expires: float


class Answers:
    """Answers by key, least recently used out first; bounded in entries, bytes and seconds."""

    def __init__(self, entries: int, size: int, seconds: float, clock: Clock) -> None:
        self._entries = entries
        self._most = size
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._size = 0

    def get(self, key: bytes) -> tuple[int, GenerateResult] | None:
        """The fingerprint of the question and its answer, or None where there is none any more."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.expires <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept.fingerprint, kept.completion

    def put(self, key: bytes, fingerprint: int, completion: GenerateResult) -> None:
        """Keep an answer. One that alone exceeds the bound is not kept."""
        self._drop(key)
        size = size_of(completion)
        if size > self._most or self._entries < 1:
            return
        self._kept[key] = _Kept(fingerprint, completion, size, self._clock() + self._seconds)
        self._size += size
        while self._size > self._most or len(self._kept) > self._entries:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size -= kept.size


def size_of(completion: GenerateResult) -> int:
    """About how many bytes an answer holds in memory."""
    size = OVERHEAD_BYTES
    for part in completion.message.parts:
        size += len(part.provider_state)
        match part:
            case Text() | Reasoning():
                size += 4 * len(part.text)
            case ToolCall():
                size += 4 * len(part.arguments_json)
            case Attachment():
                size += len(part.data or b"")
            case _:
                size += 4 * len(part.output)
    for artifact in completion.artifacts:
        size += 4 * len(artifact.text or "") + len(artifact.data or b"")
    return size + 4 * len(completion.finished.structured_json)
