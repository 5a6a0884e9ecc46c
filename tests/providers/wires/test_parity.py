"""An unstreamed response and its stream have the same parts, in every recorded exchange."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from aimanager_server.core.content import Part, Reasoning, Text, ToolCall
from aimanager_server.core.response import Event, Finished, PartCompleted, ReasoningDelta, TextDelta, ToolCallDelta
from tests.support.paths import FIXTURES
from tests.support.recordings import WIRES

FORMS = {"response.json": ".json", "stream.sse": ".sse"}
"""The file names of the two forms, in folders that have a folder per case."""

CHUNKS = "how chunks are joined, which an unstreamed response does not have"
ENDINGS = "how a stream ends"
USAGE = "where and how often a stream reports usage"

ONE_FORM: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("chat_completions/counted_from_one", "chat_completions/gemini_no_index"),
            *("chat_completions/neither_index_nor_id", "chat_completions/ollama_index_always_zero"),
            *("chat_completions/ollama_no_ids", "chat_completions/repeated_id_and_name"),
            *("chat_completions/azure_filter_first", "chat_completions/crlf"),
            *("chat_completions/data_after_the_end", "chat_completions/openrouter_comments"),
            "gemini/second_candidate",
        ),
        CHUNKS,
    ),
    **dict.fromkeys(
        (
            *("chat_completions/cut", "chat_completions/error_first", "chat_completions/error_later"),
            *("chat_completions/mistral_error", "chat_completions/no_done_no_usage"),
            *("chat_completions/openrouter_error", "chat_completions/vllm_abort", "deepseek/no_resource"),
        ),
        ENDINGS,
    ),
    **dict.fromkeys(
        (
            *("chat_completions/cumulative_usage", "chat_completions/groq_own_usage"),
            *("chat_completions/groq_reasoning", "chat_completions/xai_stream"),
        ),
        USAGE,
    ),
}
"""Cases recorded in one form only, because they show this property of streams."""


def recorded_cases() -> dict[str, dict[str, bytes]]:
    """Return every recorded response by 'folder/case', with its forms: '.json' unstreamed, '.sse' streamed."""
    found: dict[str, dict[str, bytes]] = {}
    for file in sorted(FIXTURES.rglob("*.*")):
        if file.name == "request.json":
            continue
        own_folder = file.name in FORMS
        name = file.parent if own_folder else file.with_suffix("")
        form = FORMS.get(file.name, file.suffix)
        found.setdefault(name.relative_to(FIXTURES).as_posix(), {})[form] = file.read_bytes()
    return found


CASES = recorded_cases()
PAIRS = [name for name, forms in CASES.items() if len(forms) == 2]


def both_forms(name: str) -> tuple[list[Event], list[Event]]:
    """Return the events of the unstreamed and the streamed form of a case."""
    wire = WIRES[name.partition("/")[0]]
    reader = wire.stream_reader()
    streamed = [*reader.feed(CASES[name][".sse"]), *reader.end()]
    return wire.decode(CASES[name][".json"]), streamed


def indexed_parts(events: list[Event]) -> list[tuple[int, Part, object]]:
    """Return the parts with their indices, with parsed tool arguments, since the two forms differ in whitespace."""
    return [(event.index, *comparable(event.part)) for event in events if isinstance(event, PartCompleted)]


def comparable(part: Part) -> tuple[Part, object]:
    """Return a part without a generated id, which differs each time, and the parsed arguments of a tool call."""
    if not isinstance(part, ToolCall):
        return part, None
    call_id = "" if re.fullmatch(r"call_[0-9a-f]{24}", part.id) else part.id
    return replace(part, id=call_id, arguments_json=""), arguments_of(part)


def arguments_of(call: ToolCall) -> object:
    try:
        arguments: object = json.loads(call.arguments_json)
    except ValueError:  # The response was truncated inside them.
        return call.arguments_json
    return arguments


def deltas_by_part(events: list[Event]) -> dict[int, str]:
    joined: dict[int, str] = {}
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta):
            joined[event.index] = joined.get(event.index, "") + event.text
        elif isinstance(event, ToolCallDelta):
            joined[event.index] = joined.get(event.index, "") + event.arguments_json
    return joined


def content_by_part(events: list[Event]) -> dict[int, str]:
    parts = {event.index: event.part for event in events if isinstance(event, PartCompleted)}
    return {
        index: part.arguments_json if isinstance(part, ToolCall) else part.text
        for index, part in parts.items()
        if isinstance(part, Text | Reasoning | ToolCall)
    }


def test_both_forms_have_the_same_parts_and_finish() -> None:
    differing = []
    for name in PAIRS:
        response, stream = both_forms(name)
        if indexed_parts(response) != indexed_parts(stream):
            differing.append(name)
        if not isinstance(response[-1], Finished) or response[-1] != stream[-1]:
            differing.append(name)

    assert differing == []


def test_part_indices_are_dense() -> None:
    indices = {name: sorted(index for index, *_ in indexed_parts(both_forms(name)[1])) for name in PAIRS}

    assert [name for name, found in indices.items() if found != list(range(len(found)))] == []


def test_deltas_add_up_to_the_completed_parts() -> None:
    differing = []
    for name in PAIRS:
        for events in both_forms(name):
            deltas = deltas_by_part(events)
            for index, content in content_by_part(events).items():
                # A tool call without arguments has no deltas, and the arguments "{}".
                if deltas.get(index, "") not in (content, "" if content == "{}" else content):
                    differing.append((name, index))

    assert differing == []


def test_every_folder_of_recordings_has_pairs() -> None:
    folders = {folder.name for folder in FIXTURES.iterdir()}

    assert folders == {name.partition("/")[0] for name in PAIRS}
    assert folders <= WIRES.keys()


def test_every_case_is_a_pair_or_has_a_reason() -> None:
    single = {name for name, forms in CASES.items() if len(forms) == 1}

    assert single == ONE_FORM.keys()
    assert {form for forms in CASES.values() for form in forms} == {".json", ".sse"}
    assert len(PAIRS) >= 40
