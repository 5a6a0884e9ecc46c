"""Markers of prompt caches: where they are placed, and that the next turn reads what a turn wrote."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from aimanager_server.catalog.cost import cost
from aimanager_server.core.content import (
    Attachment,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.prompt_cache_requests import (
    CATALOG,
    CHAT,
    CLAUDE,
    LONG,
    OPENAI,
    QUESTION,
    SHORT,
    SYSTEM,
    TOOL,
    Json,
    answer,
    body_of,
    conversation,
    markers_in,
    request_of,
    turn,
    warnings_of,
)
from tests.support.prompt_cache_servers import ClaudeModel, OpenAIModel
from tests.support.recordings import WIRES
from tests.support.wire_cases import WireCases, finished_event, user


def test_a_conversation_marks_the_tools_the_system_instruction_and_the_last_two_turns() -> None:
    messages = conversation(3)

    body = body_of(CLAUDE, *messages, system_instruction=SYSTEM, tools=(TOOL,), turn=turn(messages))

    assert body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert body["system"] == [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}]
    assert [path for path, _ in markers_in(body["messages"])] == ["2.content.0", "4.content.0"]


def test_openai_marks_the_same_places_of_a_conversation_and_no_others() -> None:
    messages = conversation(3, OPENAI)
    result = ToolResult("call_1", "look", "A tower.")
    messages[2:3] = [answer(ToolCall("call_1", "look", "{}"), model=OPENAI), user(result)]
    fields: Json = {"system_instruction": SYSTEM, "tools": (TOOL,), "turn": turn(messages)}

    body, chat = (body_of(OPENAI, *messages, settings=wire, **fields) for wire in ({}, CHAT))

    assert body["prompt_cache_options"] == chat["prompt_cache_options"] == {"mode": "explicit"}
    assert "instructions" not in body
    assert body["input"][0]["role"] == "developer"
    ends = [path for path, _ in markers_in(body["input"])]
    assert ends == ["0.content.0", f"{len(body['input']) - 3}.output.0", f"{len(body['input']) - 1}.content.0"]
    assert [path for path, _ in markers_in(chat["messages"])] == ["0.content.0", "4.content.0", "6.content.0"]


@pytest.mark.parametrize("model", [CLAUDE, OPENAI])
def test_a_request_without_a_conversation_marks_nothing(model: tuple[str, str]) -> None:
    fields: Json = {"system_instruction": SYSTEM, "tools": (TOOL,)}

    once = body_of(model, user(QUESTION * 9), **fields)
    continued = body_of(model, *conversation(4, model), **fields)

    assert markers_in(once) == markers_in(continued) == []
    # OpenAI would write what nobody reads; where the caller sends a history, it is left to choose.
    assert once.get("prompt_cache_options") == ({"mode": "explicit"} if model is OPENAI else None)
    assert "prompt_cache_options" not in continued


def test_a_prompt_below_the_minimum_of_the_model_has_no_markers() -> None:
    messages = conversation(2)
    sizes = {
        model: body_of(("claude", model), *messages, turn=turn(messages)) for model in (CLAUDE[1], "claude-opus-4-6")
    }

    assert [len(markers_in(body)) for body in sizes.values()] == [1, 0]


def test_what_the_caller_marks_comes_before_what_a_conversation_marks() -> None:
    messages = conversation(3)
    document = Attachment("text/plain", "book.txt", b"word " * 9000, cache_hint=LONG)
    messages[-1] = user(document, Text("Who is it?"))

    body = body_of(CLAUDE, *messages, system_instruction=SYSTEM, tools=(TOOL,), turn=turn(messages))

    # The markers before a long one must be long as well; the tools have none left.
    assert markers_in(body["tools"]) == []
    assert markers_in(body["system"]) == [("0", "1h")]
    assert markers_in(body["messages"]) == [("2.content.0", "1h"), ("4.content.0", "1h"), ("4.content.1", "")]


@pytest.mark.parametrize(
    ("model", "settings", "found", "warned"),
    [
        (CLAUDE, {}, [("messages.0.content.0", "1h"), ("system.0", "1h"), ("tools.0", "1h")], []),
        (OPENAI, {}, [("input.0.content.0", "12h"), ("input.1.content.0", "12h")], []),
        (OPENAI, CHAT, [("messages.0.content.0", ""), ("messages.1.content.0", "")], ["cache_hint"]),
    ],
)
def test_hints_mark_the_instruction_and_the_parts_of_any_request(
    model: tuple[str, str], settings: Json, found: list[tuple[str, str]], warned: list[str]
) -> None:
    book = user(Text("word " * 9000, cache_hint=LONG), Text("Who is it?"))
    request = request_of(model, book, settings=settings, system_instruction=SYSTEM, tools=(TOOL,), cache_hint=SHORT)

    assert sorted(markers_in(json.loads(request.body))) == found
    assert [warning.field for warning in request.warnings] == warned


def test_markers_are_in_the_order_in_which_the_blocks_are_sent() -> None:
    call = answer(ToolCall("call_1", "look", "{}"))
    parts = (Text("word " * 9000, cache_hint=LONG), ToolResult("call_1", "look", "x" * 4000, cache_hint=SHORT))

    body = body_of(CLAUDE, user("Look."), call, user(*parts), tools=(TOOL,))

    assert [block["type"] for block in body["messages"][-1]["content"]] == ["tool_result", "text"]
    assert markers_in(body) == [("messages.2.content.0", "1h"), ("messages.2.content.1", "1h")]


def test_turns_of_several_messages_end_with_the_last_of_them() -> None:
    """Results come first in a turn, whichever message they are in."""
    call = answer(ToolCall("call_1", "look", "{}"))
    messages = [user(QUESTION * 3), call, user("Here."), user(ToolResult("call_1", "look", "sand"))]
    messages[2] = user(Text("Here.", cache_hint=SHORT))

    in_conversation = body_of(CLAUDE, *messages, turn=turn(messages, new=2))
    only_results = [*messages[:2], messages[3]]

    assert [block["type"] for block in in_conversation["messages"][-1]["content"]] == ["tool_result", "text"]
    assert markers_in(in_conversation) == [("messages.0.content.0", ""), ("messages.2.content.1", "")]
    assert markers_in(body_of(CLAUDE, *only_results, turn=turn(only_results))) == [
        ("messages.0.content.0", ""),
        ("messages.2.content.0", ""),
    ]


def test_hints_that_cannot_be_fulfilled_lead_to_warnings() -> None:
    book = Text("word " * 900, cache_hint=SHORT)
    few = Text("few words", cache_hint=SHORT)

    assert warnings_of(CLAUDE, user(few)) == [
        (
            "messages[0].parts[0].cache_hint",
            "claude-opus-5-5 caches no prompt below 512 tokens, and this one has fewer up to here; the hint was "
            "ignored.",
        )
    ]
    assert warnings_of(CLAUDE, user(*[book] * 6)) == [
        (
            f"messages[0].parts[{number}].cache_hint",
            "claude-opus-5-5 accepts 4 markers, and later parts have them; the hint was ignored.",
        )
        for number in (0, 1)
    ]
    assert warnings_of(CLAUDE, user("Hm?"), answer(Reasoning("Hm.", cache_hint=SHORT)), user("So?")) == [
        ("messages[1].parts[0].cache_hint", "The provider cannot mark this part; the hint was ignored.")
    ]
    assert warnings_of(CLAUDE, user("Hi"), cache_hint=SHORT) == [
        ("cache_hint", "The request has no system instruction to be cached; the hint was ignored.")
    ]
    assert warnings_of(CLAUDE, user(book), options={"cache_control": {"type": "ephemeral"}}) == [
        ("cache_hint", "The native option cache_control caches the prompt; the hint was ignored.")
    ]
    assert warnings_of(CLAUDE, user(book), settings={"prompt_cache": False}) == [
        ("cache_hint", "prompt_cache is switched off for the provider; the hint was ignored.")
    ]
    for model in (("groq", "openai/gpt-oss-120b"), ("claude", "claude-of-tomorrow")):
        assert warnings_of(model, user(book), settings={"allow_any_model": True}) == [
            ("cache_hint", f"{model[1]} is not known to cache prompts; the hint was ignored.")
        ]
    for model in (("gemini", "gemini-4-argon"), ("openai", "gpt-5.5"), ("deepseek", "deepseek-flash")):
        assert warnings_of(model, user(book)) == []
        assert warnings_of(model, user(book), cache_hint=LONG) == [
            (
                "cache_hint",
                f"{model[1]} caches prompts by itself, for a time that a request cannot choose; the hint was ignored.",
            )
        ]


def test_hints_of_earlier_turns_and_of_ignored_ones_mark_nothing() -> None:
    messages = [user(Text(QUESTION, cache_hint=LONG)), *conversation(2)[1:]]

    body = body_of(CLAUDE, *messages, turn=turn(messages))

    assert markers_in(body) == [("messages.2.content.0", "")]
    assert warnings_of(("gemini", "gemini-4-argon"), *messages, turn=turn(messages)) == []
    assert markers_in(body_of(CLAUDE, user(Text("x" * 9000, cache_hint=LONG)), settings={"prompt_cache": False})) == []


def test_a_shortened_history_is_not_marked() -> None:
    """Which turns are left out changes with every turn, so the next one would not begin with the same prompt."""
    messages = conversation(5)
    fields: Json = {"system_instruction": SYSTEM, "turn": turn(messages)}

    body = body_of(CLAUDE, *messages, kept=messages[2:], **fields)
    other = body_of(CLAUDE, *messages, system_instruction=SYSTEM, turn=turn(messages, omitted=3))

    assert markers_in(body) == markers_in(other) == [("system.0", "")]


def test_the_callers_native_options_win() -> None:
    messages = conversation(3)
    fields: Json = {"turn": turn(messages), "system_instruction": SYSTEM}
    automatic = body_of(CLAUDE, *messages, options={"cache_control": {"type": "ephemeral"}}, **fields)
    implicit = body_of(OPENAI, *messages, options={"prompt_cache_options": {"mode": "implicit"}}, **fields)

    assert markers_in(automatic) == [("", "")]
    assert implicit["prompt_cache_options"] == {"mode": "implicit"}


def sequences(model: tuple[str, str]) -> Mapping[str, list[Message]]:
    """Return conversations that differ in their blocks."""
    image = Attachment("image/png", "a.png", b"\x89PNG")
    loop: list[Message] = [user(QUESTION)]
    for number in range(12):
        calls = [ToolCall(f"call_{number}_{n}", "look", '{"at":1}') for n in range(number % 3 + 1)]
        results = [ToolResult(call.id, "look", f"{call.id}: sand. " * 40) for call in calls]
        loop += [answer("Wait.", *calls, model=model), user(Text("And?"), *results)]
    burst = [ToolCall(f"call_b{n}", "look", "{}") for n in range(15)]
    many = [answer(*burst, model=model), user(*(ToolResult(call.id, "look", "x" * 400) for call in burst))]
    files = [user(image, Text(QUESTION)), answer("I see.", model=model), user(Text(QUESTION), image)]
    return {
        "questions": conversation(10, model),
        "tools": loop,
        "many tools at once": [
            *conversation(3, model)[:-1],
            user(QUESTION),
            *many,
            answer("So.", model=model),
            user("Go."),
        ],
        "files": [*files, answer("Yes.", model=model), user(QUESTION)],
        "foreign": conversation(6, ("gemini", "gemini-4-argon")),
    }


@pytest.mark.parametrize("name", sequences(CLAUDE))
@pytest.mark.parametrize(
    ("model", "settings", "cache"),
    [(CLAUDE, {}, ClaudeModel), (OPENAI, {}, OpenAIModel), (OPENAI, CHAT, OpenAIModel)],
    ids=["claude", "openai", "openai-chat"],
)
def test_every_turn_reads_all_that_the_turn_before_wrote(
    model: tuple[str, str], settings: Json, cache: Callable[[], ClaudeModel | OpenAIModel], name: str
) -> None:
    messages, server = sequences(model)[name], cache()

    for end in range(1, len(messages) + 1, 2):
        sent = messages[:end]
        fields: Json = {"system_instruction": SYSTEM, "tools": (TOOL,), "turn": turn(sent)}
        server.respond(body_of(model, *sent, settings=settings, **fields))

    assert server.counts[0].read == 0 < server.counts[0].written
    for before, after in zip(server.counts, server.counts[1:], strict=False):
        assert after.read == before.read + before.written
        assert after.uncached == 0


def test_the_work_is_linear_in_the_number_of_parts() -> None:
    parts = [Text("x", cache_hint=SHORT) for _ in range(1000)]
    messages = [message for _ in range(60) for message in (user(*parts), answer("Yes."))]
    started = time.process_time()

    request = request_of(CLAUDE, *messages, user("Go."))

    assert len(markers_in(json.loads(request.body))) == 4
    assert [warning.message for warning in request.warnings][16:] == ["59980 more hints were ignored."]
    assert time.process_time() - started < 10


@pytest.mark.parametrize(("wire", "model"), [("anthropic", CLAUDE), ("responses", OPENAI)])
def test_recorded_responses_tell_what_was_written_and_that_reading_it_is_cheaper(
    wire: str, model: tuple[str, str]
) -> None:
    cases, found = WireCases(wire, WIRES[wire]), CATALOG.find(*model)
    assert found is not None
    usages = {}
    for name in ("cache_written", "cache_read"):
        whole = finished_event(WIRES[wire].decode(cases.body(name))).usage
        streamed = finished_event(cases.read(cases.stream(name))).usage
        assert whole == streamed
        usages[name] = whole
    costs = {name: cost(found, usage, datetime(2026, 11, 27, tzinfo=UTC)) for name, usage in usages.items()}

    assert usages["cache_written"] == Usage(4525, 18, 0, 4500, 0, UsageSource.REPORTED, long_cache_write_tokens=1500)
    assert usages["cache_read"] == Usage(4525, 18, 4500, 0, 0, UsageSource.REPORTED)
    # Claude: 25 × $4 + 3000 × $5 + 1500 × $8, then 25 × $4 + 4500 × $0.20. OpenAI: $2, $2.50, $5 and $0.10.
    expected = {CLAUDE: (27_100_000, 1_000_000), OPENAI: (15_050_000, 500_000)}[model]
    assert tuple(one.input_nanos for one in costs.values() if one is not None) == expected
