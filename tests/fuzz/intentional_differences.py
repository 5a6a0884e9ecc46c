"""Where the wires deliberately read another answer than the vendors' SDKs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any

from tests.fuzz.mutations import entries
from tests.support.reference_decoders.answer import ReferenceAnswer, is_possible

TERMINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")
OTHER_USAGE_FIELDS = (b"prompt_cache_hit_tokens", b"num_cached_tokens", b"x_groq")
SSE_DATA = re.compile(rb"^data: (.*)$", re.MULTILINE)

FIELDS = ("text", "calls", "finish", "usage")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A response, and what the wire (`here`) and the SDK (`there`) read from it. `folder` is that of its recording."""

    folder: str
    is_stream: bool
    data: bytes
    here: ReferenceAnswer
    there: ReferenceAnswer

    @property
    def differing(self) -> list[str]:
        """The fields that differ. A usage that is not reliable is marked as such, so it may differ."""
        # Compared as text, because NaN differs from itself.
        names = [name for name in FIELDS if repr(getattr(self.here, name)) != repr(getattr(self.there, name))]
        usage = self.there.usage
        if (
            "usage" in names
            and self.here.usage is None
            and (usage is None or not (all(usage[:2]) and is_possible(usage)))
        ):
            names.remove("usage")
        return names


@dataclass(frozen=True, slots=True)
class IntentionalDifference:
    """A difference in these fields, for a reason."""

    fields: frozenset[str]
    applies: Callable[[Comparison], bool]
    reason: str


def payloads(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the events of a stream, or the body, as far as they are JSON objects."""
    documents = SSE_DATA.findall(comparison.data) if comparison.is_stream else [comparison.data]
    found = []
    for document in documents:
        try:
            found.append(json.loads(document))
        except ValueError:
            continue
    return [each for each in found if isinstance(each, dict)]


def on(folder: str, matches: Callable[[list[dict[str, Any]]], bool]) -> Callable[[Comparison], bool]:
    """Return whether the payloads of a response of this wire match."""
    return lambda comparison: comparison.folder == folder and matches(payloads(comparison))


def event_types(events: list[dict[str, Any]]) -> list[Any]:
    return [event.get("type") for event in events]


def has_events_after_the_end(events: list[dict[str, Any]]) -> bool:
    kinds = event_types(events)
    return "message_stop" in kinds and not {"message_stop", "ping"}.issuperset(kinds[kinds.index("message_stop") :])


def starts_blocks_out_of_order(events: list[dict[str, Any]]) -> bool:
    indices = [event.get("index") for event in events if event.get("type") == "content_block_start"]
    return indices != list(range(len(indices)))


def starts_late(events: list[dict[str, Any]]) -> bool:
    return [kind for kind in event_types(events) if kind != "ping"][:1] != ["message_start"]


def repeats_the_stop_reason(events: list[dict[str, Any]]) -> bool:
    return event_types(events).count("message_delta") > 1 or any(
        event.get("type") == "message_delta" and not isinstance(event.get("delta"), dict) for event in events
    )


def has_no_status(events: list[dict[str, Any]]) -> bool:
    finals = [
        event.get("response", event) for event in events if event.get("type") in TERMINAL_EVENTS or len(events) == 1
    ]
    details = [response.get("incomplete_details") or {"reason": ""} for response in finals]
    return any(not isinstance(response.get("status") or None, str) for response in finals) or any(
        not isinstance(each.get("reason"), str) for each in details
    )


def lacks_a_name(events: list[dict[str, Any]]) -> bool:
    items = [event["item"] for event in events if isinstance(event.get("item"), dict)]
    finals = [event.get("response", {}).get("output") or [] for event in events if event.get("type") in TERMINAL_EVENTS]
    calls = [item for item in (*items, *(item for output in finals for item in output)) if isinstance(item, dict)]
    return any(item.get("type") == "function_call" and not item.get("name") for item in calls)


def choices(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    listed = [event.get("choices") for event in events]
    return [each for entry in listed if isinstance(entry, list) for each in entry if isinstance(each, dict)]


def messages(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [choice.get(name) for choice in choices(events) for name in ("delta", "message")]
    return [message for message in found if isinstance(message, dict)]


def has_irregular_tool_calls(events: list[dict[str, Any]]) -> bool:
    """Return whether a call repeats its id or name, or has an index that is not its position."""
    named: set[Any] = set()
    for message in messages(events):
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            index = call.get("index") if isinstance(call, dict) else None
            if not isinstance(index, int) or not 0 <= index <= len(named):
                return True
            function = call.get("function")
            name = function.get("name") if isinstance(function, dict) else None
            if index in named and (name or call.get("id")):
                return True
            named.add(index)
    return False


def has_other_arguments(events: list[dict[str, Any]]) -> bool:
    return any(
        name == "arguments" and not isinstance(holder[name], str)
        for message in messages(events)
        for holder, name in entries(message)
    )


def has_other_content(events: list[dict[str, Any]]) -> bool:
    return any(not isinstance(message.get("content"), str | NoneType) for message in messages(events))


def has_negative_index(events: list[dict[str, Any]]) -> bool:
    return any(isinstance(index := choice.get("index"), int) and index < 0 for choice in choices(events))


def mixes_text_and_refusal(events: list[dict[str, Any]]) -> bool:
    found = messages(events)
    return any(message.get("content") for message in found) and any(message.get("refusal") for message in found)


def has_no_integer_count(events: list[dict[str, Any]]) -> bool:
    """Return whether some token count is neither an integer nor null."""
    return any(
        "oken" in str(name) and not isinstance(holder[name], dict | list | NoneType) and type(holder[name]) is not int
        for event in events
        for holder, name in entries(event)
        if isinstance(holder, dict)
    )


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


LONG_WRITES = ("ephemeral_1h_input_tokens", "ttl_12h_tokens")


def has_impossible_long_writes(comparison: Comparison) -> bool:
    """Return whether the tokens that are kept in a prompt cache for a long time are no number, or too many."""
    written = comparison.there.usage[3] if comparison.there.usage is not None else 0

    def is_possible_count(value: object) -> bool:
        return value is None or (is_number(value) and value <= written)  # type: ignore[operator]  # a number by now

    return any(
        name in LONG_WRITES and isinstance(holder, dict) and not is_possible_count(holder[name])
        for event in payloads(comparison)
        for holder, name in entries(event)
    )


def has_separate_reasoning(comparison: Comparison) -> bool:
    here, there = comparison.here.usage, comparison.there.usage
    return here is not None and there is not None and here[1] == there[1] + there[4]


def is_chat(comparison: Comparison) -> bool:
    return comparison.folder not in ("anthropic", "gemini", "responses")


def on_chat(matches: Callable[[list[dict[str, Any]]], bool]) -> Callable[[Comparison], bool]:
    return lambda comparison: is_chat(comparison) and matches(payloads(comparison))


ALL = frozenset(FIELDS)
INTENTIONAL: tuple[IntentionalDifference, ...] = (
    IntentionalDifference(
        ALL,
        on("anthropic", lambda events: not all(isinstance(kind, str) for kind in event_types(events))),
        "Claude: an event without a type has that of its SSE event name, which the SDK does not read.",
    ),
    IntentionalDifference(
        ALL,
        on("anthropic", has_events_after_the_end),
        "Claude: message_stop ends the answer; the SDK reads on.",
    ),
    IntentionalDifference(
        ALL,
        on("anthropic", starts_blocks_out_of_order),
        "Claude: the index of a delta names its block; the SDK takes it for a position.",
    ),
    IntentionalDifference(
        ALL,
        on("anthropic", starts_late),
        "Claude: events before message_start are read; the SDK drops some of them.",
    ),
    IntentionalDifference(
        frozenset({"finish"}),
        on("anthropic", repeats_the_stop_reason),
        "Claude: the last stop reason counts; the SDK lets a later null replace it.",
    ),
    IntentionalDifference(
        frozenset({"finish"}),
        on("responses", has_no_status),
        "Responses: a final response whose status or reason is missing or no text has the status of its event.",
    ),
    IntentionalDifference(
        frozenset({"calls"}),
        lambda each: (
            each.folder == "responses" and sorted(map(str, each.here.calls)) == sorted(map(str, each.there.calls))
        ),
        "Responses: tool calls are delivered in the order in which they were streamed.",
    ),
    IntentionalDifference(
        frozenset({"calls"}),
        on("responses", lacks_a_name),
        "Responses: a final call without a name keeps the name that was announced.",
    ),
    IntentionalDifference(
        frozenset({"calls"}),
        on_chat(has_irregular_tool_calls),
        "Chat completions: a repeated id or name is set once, and any index is read; the SDK joins repetitions.",
    ),
    IntentionalDifference(
        frozenset({"calls"}),
        on_chat(has_other_arguments),
        "Chat completions: arguments that are JSON in place of text are read; the SDK replaces those before.",
    ),
    IntentionalDifference(
        frozenset({"text", "calls"}),
        on_chat(has_other_content),
        "Chat completions: content as a list, a number or an object is read; the SDK joins strings only.",
    ),
    IntentionalDifference(
        ALL,
        on_chat(has_negative_index),
        "Chat completions: a choice with a negative index is another choice; the SDK takes it for the last one.",
    ),
    IntentionalDifference(
        frozenset({"text"}),
        on_chat(mixes_text_and_refusal),
        "Chat completions: text and refusal are parts in the order of their arrival; the SDK has a field for each.",
    ),
    IntentionalDifference(
        frozenset({"finish"}),
        lambda each: (
            len(each.here.finish) < len(each.there.finish) and each.there.finish.startswith(each.here.finish[:-1])
        ),
        "All: a finish reason is cut after 200 characters.",
    ),
    IntentionalDifference(
        frozenset({"usage"}),
        lambda each: is_chat(each) and any(name in each.data for name in OTHER_USAGE_FIELDS),
        "Chat completions: usage fields of DeepSeek, Mistral and Groq are read, which OpenAI's SDK does not know.",
    ),
    IntentionalDifference(
        frozenset({"usage"}),
        lambda each: is_chat(each) and has_separate_reasoning(each),
        "Chat completions: xAI counts reasoning beside the output, as total_tokens shows; it is added to it.",
    ),
    IntentionalDifference(
        frozenset({"usage"}),
        lambda each: each.here.usage is None and has_impossible_long_writes(each),
        "All: long writes to a prompt cache that are no number, or more than all writes; the SDKs only pass them on.",
    ),
    IntentionalDifference(
        frozenset({"usage"}),
        lambda each: each.here.usage is None and has_no_integer_count(payloads(each)),
        "All: a count that is no number is no count; Pydantic reads true as 1.",
    ),
)
"""The only differences that are no defect."""


def intentional_difference(comparison: Comparison) -> str:
    """Return the reasons that together explain all differing fields; empty if they do not."""
    found = [each for each in INTENTIONAL if each.applies(comparison)]
    explained = frozenset[str]().union(*(each.fields for each in found))
    return "; ".join(each.reason for each in found) if explained.issuperset(comparison.differing) else ""
