"""Mutate the structure of recorded streams, and know what content a reader must then deliver.

Each event of a stream carries the text, reasoning and tool arguments that it stands for, so that a mutation changes the
expectation with the event: a reader that reports a complete response must have delivered exactly this content.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from aimanager_server.core.content import Reasoning, Text
from aimanager_server.core.response import Event, Finished, PartCompleted, ToolCallDelta

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event: its JSON document or `[DONE]`, and the content it stands for."""

    document: Any
    text: str = ""
    reasoning: str = ""
    arguments: str = ""
    is_end: bool = False
    """Whether it contains a finish reason, or is `[DONE]` for a wire that ends with it."""

    def encoded(self) -> bytes:
        data = self.document if self.document == DONE else json.dumps(self.document)
        return b"data: " + data.encode() + b"\n\n"


@dataclass(slots=True)
class MutatedStream:
    """A stream after some mutations. `is_benign`: every reader must report it complete."""

    wire: str
    events: list[StreamEvent]
    is_benign: bool = True
    mutations: list[str] = field(default_factory=list)

    def pieces(self, random: Random) -> list[bytes]:
        """Return the bytes, split at random positions."""
        data = b"".join(event.encoded() for event in self.events)
        cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((0, 1, 5, 40))))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def received(self) -> list[StreamEvent]:
        """Return the events that count: those up to `[DONE]`, which ends a Gemini stream only after a finish reason."""
        for position, event in enumerate(self.events):
            if event.document == DONE and (self.wire != "gemini" or any(e.is_end for e in self.events[:position])):
                return self.events[: position + 1]
        return self.events

    @property
    def is_complete(self) -> bool:
        """Whether the stream contains an end."""
        return any(event.is_end for event in self.received())


def recorded_stream(wire: str, data: bytes) -> MutatedStream:
    """Return the events of a recording. Raises ValueError if it is not a plain sequence of JSON events."""
    events = []
    for block in data.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
        if lines and lines[0]:
            document = DONE if lines[0] == DONE.encode() else json.loads(b"\n".join(lines))
            events.append(READ[wire](document))
    return MutatedStream(wire, events)


def _read_chat(document: Any) -> StreamEvent:
    if document == DONE:
        return StreamEvent(DONE, is_end=True)
    choice = _first(document.get("choices"))
    delta = choice.get("delta") or {}
    calls = [call.get("function") or {} for call in delta.get("tool_calls") or ()]
    content = delta.get("content") or ""
    if delta.get("refusal") or not isinstance(content, str):
        raise ValueError("the content has another form")
    return StreamEvent(
        document,
        text=content,
        reasoning=delta.get("reasoning_content") or delta.get("reasoning") or "",
        arguments="".join(function.get("arguments") or "" for function in calls),
        is_end=bool(choice.get("finish_reason")),
    )


def _read_gemini(document: Any) -> StreamEvent:
    if not isinstance(document, dict):
        return StreamEvent(document)
    candidate = _first(document.get("candidates"))
    parts = (candidate.get("content") or {}).get("parts") or []
    arguments = [part["functionCall"].get("args", {}) for part in parts if "functionCall" in part]
    return StreamEvent(
        document,
        text="".join(part.get("text", "") for part in parts if not part.get("thought")),
        reasoning="".join(part.get("text", "") for part in parts if part.get("thought")),
        arguments="".join(json.dumps(value, separators=(",", ":"), ensure_ascii=False) for value in arguments),
        is_end=candidate.get("finishReason") not in (None, "", "FINISH_REASON_UNSPECIFIED"),
    )


READ: dict[str, Callable[[Any], StreamEvent]] = {"chat_completions": _read_chat, "gemini": _read_gemini}


def _first(choices: Any) -> dict[str, Any]:
    found = [choice for choice in choices or () if isinstance(choice, dict) and not choice.get("index")]
    return found[0] if found else {}


# mutations: each returns whether every reader must still report the stream complete


def _duplicate(stream: MutatedStream, random: Random) -> bool:
    at = random.randrange(len(stream.events))
    stream.events[at:at] = [stream.events[at]] * random.choice((1, 1, 2, 50))
    return not stream.events[at].arguments


def _drop(stream: MutatedStream, random: Random) -> bool:
    del stream.events[random.randrange(len(stream.events))]
    return False


def _truncate(stream: MutatedStream, random: Random) -> bool:
    del stream.events[random.randrange(len(stream.events)) :]
    return False


def _swap(stream: MutatedStream, random: Random) -> bool:
    first, second = (random.randrange(len(stream.events)) for _ in range(2))
    stream.events[first], stream.events[second] = stream.events[second], stream.events[first]
    return False


def _finish_everywhere(stream: MutatedStream, random: Random) -> bool:
    """Send a finish reason with every choice, or only a string that is none."""
    reason = random.choice(("stop", "stop", "null"))
    list_field, name = ("candidates", "finishReason") if stream.wire == "gemini" else ("choices", "finish_reason")
    for position, event in enumerate(stream.events):
        document = deepcopy(event.document)
        choice = _first(document.get(list_field)) if isinstance(document, dict) else {}
        if choice and not event.is_end:
            choice[name] = reason
            stream.events[position] = replace(event, document=document, is_end=reason == "stop")
    return True


def _retype(stream: MutatedStream, random: Random) -> bool:
    """Write the text of some events in another known shape."""
    for position, event in enumerate(stream.events):
        is_text = event.text and not event.reasoning and not event.arguments
        if is_text and isinstance(event.document, dict) and random.random() < 0.5:
            document = deepcopy(event.document)
            if stream.wire == "gemini":
                content = _first(document["candidates"])["content"]
                if isinstance(content.get("parts"), list) and len(content["parts"]) == 1:
                    content["parts"] = content["parts"][0]
            else:
                delta = _first(document["choices"]).get("delta") or {}
                if isinstance(delta.get("content"), str):
                    shapes: tuple[Any, ...] = (
                        [event.text], {"type": "text", "text": event.text}, [{"type": "text", "text": event.text}]
                    )  # fmt: skip
                    delta["content"] = random.choice(shapes)
            stream.events[position] = replace(event, document=document)
    return True


def _rename_delta(stream: MutatedStream, random: Random) -> bool:
    """Send `message` in place of every `delta`."""
    if stream.wire == "gemini":
        return True
    for position, event in enumerate(stream.events):
        document = deepcopy(event.document)
        for chunk in document if isinstance(document, list) else [document]:
            for choice in chunk.get("choices") or () if isinstance(chunk, dict) else ():
                if "delta" in choice:
                    choice["message"] = choice.pop("delta")
        stream.events[position] = replace(event, document=document)
    return True


def _number(stream: MutatedStream, random: Random) -> bool:
    """Insert a text that is a number."""
    document: Any = {"candidates": [{"content": {"parts": {"text": 7}}}]}
    if stream.wire != "gemini":
        # The field that brings the first content is the one that is read.
        key = "message" if any("message" in _choice_of(event) for event in stream.events) else "delta"
        document = {"choices": [{"index": 0, key: {"content": 7}}]}
    stream.events.insert(random.randrange(len(stream.events)), StreamEvent(document, text="7"))
    return True


def _join(stream: MutatedStream, random: Random) -> bool:
    """Send two adjacent events as one list."""
    at = random.randrange(len(stream.events))
    pair = stream.events[at : at + 2]
    if len(pair) == 2 and all(isinstance(event.document, dict) for event in pair):
        first, second = pair
        stream.events[at : at + 2] = [
            StreamEvent(
                [first.document, second.document],
                first.text + second.text,
                first.reasoning + second.reasoning,
                first.arguments + second.arguments,
                first.is_end or second.is_end,
            )
        ]
    return True


def _choice_of(event: StreamEvent) -> dict[str, Any]:
    document = event.document[0] if isinstance(event.document, list) else event.document
    return _first(document.get("choices")) if isinstance(document, dict) else {}


MUTATIONS = (_duplicate, _drop, _truncate, _swap, _finish_everywhere, _retype, _rename_delta, _number, _join)


def mutated(stream: MutatedStream, random: Random) -> MutatedStream:
    """Apply a few random mutations."""
    for _ in range(random.choice((1, 1, 2, 3))):
        mutation = random.choice(MUTATIONS)
        stream.is_benign &= mutation(stream, random)
        stream.mutations.append(mutation.__name__)
        if not stream.events:
            break
    return stream


def missing_content(stream: MutatedStream, events: list[Event]) -> str:
    """Say what a reader that returned these events lost or invented; empty if nothing."""
    received = stream.received()
    if not events or not isinstance(events[-1], Finished):
        return "the response has no Finished event"
    if not stream.is_complete:
        return "a truncated stream is reported complete"
    parts = [event.part for event in events if isinstance(event, PartCompleted)]
    found = {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "reasoning": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "arguments": "".join(sorted("".join(e.arguments_json for e in events if isinstance(e, ToolCallDelta)))),
    }
    expected = {
        "text": "".join(event.text for event in received),
        "reasoning": "".join(event.reasoning for event in received),
        "arguments": "".join(sorted("".join(event.arguments for event in received))),
    }
    differing = [name for name in found if found[name] != expected[name]]
    return "; ".join(f"{name}: {found[name]!r} instead of {expected[name]!r}" for name in differing)
