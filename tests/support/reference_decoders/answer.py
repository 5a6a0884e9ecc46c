"""What a caller reads from a response: the same, whoever decoded it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jiter import from_json

from aimanager_server.core.content import Text, ToolCall
from aimanager_server.core.response import Event, Finished, PartCompleted
from aimanager_server.core.usage import UsageSource
from aimanager_server.providers.wires.json_codec import fix_surrogates

Counts = tuple[Any, Any, Any, Any, Any]
"""The tokens of input, output, cache reads, cache writes and reasoning. An SDK does not check them: any JSON values."""


@dataclass(frozen=True, slots=True)
class ReferenceAnswer:
    """The content of a response. `calls` has the name and the parsed arguments of each tool call.

    `usage` is None if none was reported, or none that is reliable.
    """

    text: str
    calls: tuple[tuple[str, Any], ...]
    finish: str
    usage: Counts | None


def reference_answer(text: str, calls: list[tuple[Any, Any]], finish: Any, usage: Counts | None) -> ReferenceAnswer:
    """Return the answer of an SDK. Arguments are JSON text or parsed; half surrogate pairs are replaced.

    A finish reason that is no string is none."""
    parsed = tuple((printable(name or ""), parsed_arguments(arguments)) for name, arguments in calls)
    return ReferenceAnswer(printable(text), parsed, printable(finish) if isinstance(finish, str) else "", usage)


def answer_of(events: list[Event]) -> ReferenceAnswer:
    """Return the answer in the events of a wire."""
    completed = [event for event in events if isinstance(event, PartCompleted)]
    parts = [event.part for event in sorted(completed, key=lambda event: event.index)]
    last = events[-1]
    assert isinstance(last, Finished)
    usage = last.usage
    totals, cached = (usage.input_tokens, usage.output_tokens), (usage.cache_read_tokens, usage.cache_write_tokens)
    return ReferenceAnswer(
        "".join(part.text for part in parts if isinstance(part, Text)),
        tuple((part.name, parsed_arguments(part.arguments_json)) for part in parts if isinstance(part, ToolCall)),
        last.provider_reason,
        (*totals, *cached, usage.reasoning_tokens) if usage.source is UsageSource.REPORTED else None,
    )


def parsed_arguments(arguments: Any) -> Any:
    """Return the arguments of a tool call as the SDKs parse them: those of a truncated response in part."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        return json.loads(arguments)  # also with half a surrogate pair
    except ValueError:
        pass
    try:
        return from_json(arguments.encode("utf-8", "surrogatepass") or b"{}", partial_mode=True)
    except ValueError:
        return printable(arguments)


def printable(text: str) -> str:
    return fix_surrogates(text)


def count(value: Any) -> Any:
    """Return a count of an SDK; 0 if it is missing, and a number if it is the text of one."""
    if value is None:
        return 0
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_possible(counts: Counts) -> bool:
    """Return whether the counts that an SDK read are ones that a response can have."""
    if any(type(count) is not int or not 0 <= count <= 10**9 for count in counts):
        return False
    return bool(counts[2] + counts[3] <= counts[0] and counts[4] <= counts[1])
