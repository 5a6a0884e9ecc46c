"""What an answer gives whole, its stream gives: over every exchange that was recorded, and none is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from aimanager_server.core.content import Part, ToolCall
from aimanager_server.core.response import Event, Finished, PartCompleted
from aimanager_server.providers.wires.dialect import Dialect
from tests.support.anthropic import claude
from tests.support.chat_completions import dialect as chat_dialect
from tests.support.gemini import gemini
from tests.support.paths import FIXTURES
from tests.support.responses import responses

WIRES: Mapping[str, Callable[[], Dialect]] = {
    "chat_completions": chat_dialect,
    "claude": claude,
    "deepseek": lambda: chat_dialect("deepseek"),
    "gemini": gemini,
    "openai": lambda: chat_dialect("openai"),
    "responses": responses,
}
"""Who reads the recordings of a folder."""

FORMS = {"response.json": ".json", "stream.sse": ".sse"}
"""The names of the two forms, where each case has a folder of its own."""

CHUNKED = "how chunks are put together: an answer that comes whole has none of it"
ENDED = "how a stream ends: an answer that comes whole is there or is not"
COUNTED = "where and how often a stream counts: an answer that comes whole counts once"

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
        CHUNKED,
    ),
    **dict.fromkeys(
        (
            *("chat_completions/cut", "chat_completions/error_first", "chat_completions/error_later"),
            *("chat_completions/mistral_error", "chat_completions/no_done_no_usage"),
            *("chat_completions/openrouter_error", "chat_completions/vllm_abort", "deepseek/no_resource"),
        ),
        ENDED,
    ),
    **dict.fromkeys(
        (
            *("chat_completions/cumulative_usage", "chat_completions/groq_own_usage"),
            *("chat_completions/groq_reasoning", "chat_completions/xai_stream"),
        ),
        COUNTED,
    ),
}
"""Cases recorded in one form only, and why that is enough."""


def cases() -> dict[str, dict[str, bytes]]:
    """Every recorded answer by 'wire/case', and its forms: '.json' whole, '.sse' streamed."""
    found: dict[str, dict[str, bytes]] = {}
    for file in sorted(FIXTURES.rglob("*.*")):
        if file.name == "request.json":
            continue
        own_folder = file.name in FORMS
        name = file.parent if own_folder else file.with_suffix("")
        form = FORMS.get(file.name, file.suffix)
        found.setdefault(name.relative_to(FIXTURES).as_posix(), {})[form] = file.read_bytes()
    return found


CASES = cases()
PAIRS = [name for name, forms in CASES.items() if len(forms) == 2]


def streamed(dialect: Dialect, stream: bytes) -> list[Event]:
    reader = dialect.reader()
    return [*reader.feed(stream), *reader.end()]


def parts_of(events: list[Event]) -> list[tuple[Part, object]]:
    """The parts with their states; arguments are read, since the two forms space them differently.

    An id that was made up, because the provider gave none, is another one each time.
    """
    return [compared(event.part) for event in events if isinstance(event, PartCompleted)]


def compared(part: Part) -> tuple[Part, object]:
    if not isinstance(part, ToolCall):
        return part, None
    call_id = "" if re.fullmatch(r"call_[0-9a-f]{24}", part.id) else part.id
    return replace(part, id=call_id, arguments_json=""), arguments_of(part)


def arguments_of(call: ToolCall) -> object:
    try:
        read: object = json.loads(call.arguments_json)
    except ValueError:  # the answer was cut inside them
        return call.arguments_json
    return read


@pytest.mark.parametrize("name", PAIRS)
def test_what_an_answer_gives_whole_its_stream_gives(name: str) -> None:
    dialect = WIRES[name.partition("/")[0]]()

    whole, stream = dialect.decode(CASES[name][".json"]), streamed(dialect, CASES[name][".sse"])

    assert parts_of(whole) == parts_of(stream)
    # Reason, the provider's own word for it, and usage.
    assert isinstance(whole[-1], Finished)
    assert whole[-1] == stream[-1]


@pytest.mark.parametrize("name", PAIRS)
def test_parts_have_the_same_numbers_in_both_forms(name: str) -> None:
    dialect = WIRES[name.partition("/")[0]]()

    whole, stream = dialect.decode(CASES[name][".json"]), streamed(dialect, CASES[name][".sse"])

    whole_places, places = (
        [event.index for event in events if isinstance(event, PartCompleted)] for events in (whole, stream)
    )
    assert whole_places == places
    assert sorted(places) == list(range(len(places)))


def test_no_folder_of_recordings_is_left_out() -> None:
    assert {folder.name for folder in FIXTURES.iterdir()} == set(WIRES)
    assert {name.partition("/")[0] for name in PAIRS} == set(WIRES)


def test_every_case_is_a_pair_or_says_why_not() -> None:
    single = {name for name, forms in CASES.items() if len(forms) == 1}

    assert single == ONE_FORM.keys()
    assert {form for forms in CASES.values() for form in forms} == {".json", ".sse"}
    assert len(PAIRS) >= 40
