"""Markers and keys of prompt caches: where they are placed, and that the next turn reads what a turn wrote."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.cost import cost
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import (
    Attachment,
    CacheHint,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from aimanager_server.core.conversation import ConversationTurn
from aimanager_server.core.request import Attempt, Call, Caller, Target
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.factory import wires_of
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support.prompt_cache_servers import ClaudeModel, OpenAIModel
from tests.support.recordings import WIRES
from tests.support.resolver import provider_settings
from tests.support.wire_cases import WireCases, finished_event, user

CATALOG = Catalog.load()
LONG, SHORT = CacheHint.LONG, CacheHint.SHORT
CLAUDE, OPENAI = ("claude", "claude-opus-5-5"), ("openai", "gpt-6.2-sol")
CHAT = {"wire": "chat_completions"}
TOOL = Tool("look", "Looks at the place. " * 150, "{}")
SYSTEM = "You know everything about lighthouses. " * 150
QUESTION = "What does the next lighthouse look like from the sea, and what from the land? " * 8

Json = dict[str, Any]


def request_of(
    model: tuple[str, str], *messages: Message, settings: Mapping[str, Any] | None = None, **fields: Any
) -> HttpRequest:
    """Return the encoded request. `options` and `defaulted_fields` belong to its target, `kept` limits its messages."""
    provider, model_id = model
    kept, key = fields.pop("kept", messages), fields.pop("key", "sk-canary")
    target = Target(provider, model_id, options=fields.pop("options", {}))
    fields = {"caller": Caller("ann"), **fields}
    call = Call(id="call-1", requested_model=model_id, messages=messages, targets=(target,), deadline=1e9, **fields)
    attempt: Attempt[Call] = Attempt.of(call, target, 0.0)
    attempt.messages = tuple(kept)
    configured = provider_settings(provider, **{"api_key": "sk-1", **(settings or {})})
    catalog = CATALOG.with_providers({provider: configured})
    default, wire_for = wires_of(provider, configured, Limits(), partial(catalog.find, provider))
    wire = default if wire_for is None else wire_for(model_id)
    return wire.encode(attempt, key)


def body_of(model: tuple[str, str], *messages: Message, **fields: Any) -> Json:
    body: Json = json.loads(request_of(model, *messages, **fields).body)
    return body


def warnings_of(model: tuple[str, str], *messages: Message, **fields: Any) -> list[tuple[str, str]]:
    return [(warning.field, warning.message) for warning in request_of(model, *messages, **fields).warnings]


def answer(*parts: Part | str, model: tuple[str, str] = CLAUDE) -> Message:
    return Message(Role.ASSISTANT, tuple(Text(part) if isinstance(part, str) else part for part in parts), *model)


def turn(messages: Sequence[Message], new: int = 1, **fields: Any) -> ConversationTurn:
    """Return the turn whose last `new` messages are not history."""
    return ConversationTurn("conv_1", len(messages) // 2, len(messages) - new, **fields)


def conversation(turns: int, model: tuple[str, str] = CLAUDE) -> list[Message]:
    """Return the messages of a conversation, the last of the user."""
    messages: list[Message] = []
    for number in range(turns - 1):
        messages += [user(f"{number}: {QUESTION}"), answer(f"{number}: A tower. " * 20, model=model)]
    return [*messages, user(f"{turns}: {QUESTION}")]


def markers_in(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return the paths of all markers in a body, with their lifetimes."""
    found = []
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if name in ("cache_control", "prompt_cache_breakpoint"):
            found.append((path.strip("."), item.get("ttl", "")))
        else:
            found += markers_in(item, f"{path}.{name}")
    return found


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


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (OPENAI, "prompt_cache_key"),
        (("openai", "gpt-4.1"), "prompt_cache_key"),
        (("mistral", "mistral-medium-3-5"), "prompt_cache_key"),
        (("deepseek", "deepseek-flash"), "user_id"),
        (("xai", "grok-4.7"), "x-grok-conv-id"),
    ],
)
def test_two_callers_never_use_the_same_cache_key(model: tuple[str, str], field: str) -> None:
    def key(caller: Caller, conversation_id: str = "", **fields: Any) -> str:
        messages = conversation(2, model)
        own = ConversationTurn(conversation_id, 1, 2) if conversation_id else None
        request = request_of(model, *messages, caller=caller, turn=own, **fields)
        value: str = {**json.loads(request.body), **request.headers}[field]
        return value

    callers = [Caller("ann"), Caller("bob"), Caller(), Caller("ann", provider_keys={model[0]: "sk-own"})]
    keys = {caller.name + str(caller.provider_keys): key(caller) for caller in callers}
    in_conversations = {key(caller, one) for caller in callers for one in ("conv_1", "conv_2")}

    assert len(set(keys.values())) == len(callers)
    assert key(Caller("ann")) == keys["ann{}"] != key(Caller("ann"), settings={"api_key": "sk-2"})
    assert all("ann" not in value and len(value) <= 64 for value in keys.values())
    # DeepSeek's key separates users; the others find what belongs together.
    assert len(in_conversations) == (len(callers) if field == "user_id" else 2 * len(callers))
    if not field.startswith("x-"):
        chosen = {key(Caller(name), options={field: "mine"}) for name in ("ann", "bob")}
        assert len(chosen) == 2
        assert key(Caller("ann"), options={field: "mine"}) in chosen
        assert all(value.endswith("_mine") for value in chosen) == (field == "user_id")
        assert field not in body_of(model, user("Hi"), options={field: None})
        assert body_of(model, user("Hi"), settings={"options": {field: "ours"}})[field] == "ours"


@pytest.mark.parametrize(
    "model", [CLAUDE, ("gemini", "gemini-4-argon"), ("groq", "openai/gpt-oss-120b"), ("deepseek", "deepseek-flash")]
)
def test_providers_receive_only_the_fields_that_they_document(model: tuple[str, str]) -> None:
    messages = conversation(3, model)
    on, off = (
        request_of(model, *messages, turn=turn(messages), settings={"prompt_cache": value}) for value in (True, False)
    )

    assert set(json.loads(on.body)) - set(json.loads(off.body)) == ({"user_id"} if model[0] == "deepseek" else set())
    assert on.headers == off.headers


def test_the_work_is_linear_in_the_number_of_parts() -> None:
    parts = [Text("x", cache_hint=SHORT) for _ in range(1000)]
    messages = [message for _ in range(60) for message in (user(*parts), answer("Yes."))]
    started = time.process_time()

    request = request_of(CLAUDE, *messages, user("Go."))

    assert len(markers_in(json.loads(request.body))) == 4
    assert [warning.message for warning in request.warnings][16:] == ["59980 more hints were ignored."]
    assert time.process_time() - started < 10


def test_a_key_without_an_api_key_is_random() -> None:
    settings = ProviderSettings(wire="responses", base_url="http://127.0.0.1:1", api_key_env="")

    def key() -> str:
        wire, _ = wires_of("openai", settings, Limits(), partial(CATALOG.find, "openai"))
        target = Target("openai", "gpt-6.2-sol")
        call = Call("call-1", Caller("ann"), "", (user("Hi"),), (target,), 1e9)
        value: str = json.loads(wire.encode(Attempt.of(call, target, 0.0), "").body)["prompt_cache_key"]
        return value

    assert key() != key()


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
