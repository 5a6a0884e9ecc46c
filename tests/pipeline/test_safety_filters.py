"""The layer of the safety filters: what callers see of masked and blocked responses, and what is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.app import App
from aimanager_server.config.errors import StartupError
from aimanager_server.config.safety_filters import SafetyFilterSettings
from aimanager_server.core.content import (
    Attachment,
    CacheHint,
    JsonObjectFormat,
    Message,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from aimanager_server.core.conversation import ConversationTurn
from aimanager_server.core.errors import ContentBlocked
from aimanager_server.core.handler import compose
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage
from aimanager_server.pipeline.safety_filters import (
    MAX_WARNINGS,
    RunInThread,
    safety_filter_layers,
)
from tests.support.calls import make_call
from tests.support.gateway import settings_with
from tests.support.streams import metadata
from tests.support.upstream import ScriptedUpstream

EMAIL, CARD = "ada@example.com", "4111 1111 1111 1111"
FINISHED = Finished(FinishReason.STOP, "stop", Usage(input_tokens=3, output_tokens=2))
BLOCKED = replace(FINISHED, reason=FinishReason.CONTENT_FILTER)
MASK: Any = {"emails": "mask", "cards": "mask"}


def user(*texts: str) -> Message:
    return Message(Role.USER, tuple(map(Text, texts)))


class Layer:
    """The layer with its collaborators: threads that are counted, and counters."""

    def __init__(self, *outcome: Event, **settings: Any) -> None:
        self.upstream = ScriptedUpstream(outcome or (PartCompleted(0, Text("Hi")), FINISHED))
        self.callers_in_threads: list[str] = []
        self.counted: list[tuple[str, str, str, int]] = []
        self._run_in_thread: RunInThread | None = None
        (self.layer,) = safety_filter_layers(
            SafetyFilterSettings.model_validate(settings), self._run, lambda seconds: None, self._count
        )

    def use_threads(self, run: RunInThread) -> None:
        """Let another function run what takes long."""
        self._run_in_thread = run

    async def _run(self, caller: str, work: Callable[[], Any]) -> Any:
        self.callers_in_threads.append(caller)
        return work() if self._run_in_thread is None else await self._run_in_thread(caller, work)

    def _count(self, *counted: Any) -> None:
        self.counted.append(counted)

    async def stream(self, *messages: Message, **call: Any) -> ResponseStream:
        made = make_call(**call)
        return await self.handle(replace(made, messages=messages) if messages else made)

    async def handle(self, call: Call) -> ResponseStream:
        return await compose((self.layer,), self.upstream)(call)

    async def events(self, *messages: Message, **call: Any) -> list[Event]:
        return [event async for event in await self.stream(*messages, **call)]

    @property
    def sent(self) -> Call:
        request = self.upstream.requests[-1]
        assert isinstance(request, Call)
        return request


async def test_reasoning_and_text_are_masked_as_they_arrive() -> None:
    events: tuple[Event, ...] = (
        ReasoningDelta(0, "Is it ada@exam"), ReasoningProgress(), ReasoningDelta(0, "ple.com, so "),
        PartCompleted(0, Reasoning("Is it ada@example.com, so ", provider_state=b"signature")),
        TextDelta(1, "Yes, "), TextDelta(1, "ada@example.com"), PartCompleted(1, Text("Yes, ada@example.com")),
        FINISHED,
    )  # fmt: skip

    assert await Layer(*events, output=MASK).events(streaming=True) == [
        ReasoningDelta(0, "Is it "), ReasoningProgress(), ReasoningDelta(0, "[EMAIL_1], so "),
        PartCompleted(0, Reasoning("Is it [EMAIL_1], so ")),
        TextDelta(1, "Yes, "), TextDelta(1, "[EMAIL_1]"), PartCompleted(1, Text("Yes, [EMAIL_1]")),
        FINISHED,
    ]  # fmt: skip


async def test_a_part_without_matches_keeps_its_state() -> None:
    part = Reasoning("Nothing.", provider_state=b'{"type":"reasoning","encrypted_content":"gAAA"}')
    events = (ReasoningDelta(0, "Nothing."), PartCompleted(0, part), FINISHED)

    assert (await Layer(*events, output=MASK).events(streaming=True))[-2] == PartCompleted(0, part)


@pytest.mark.parametrize("deltas", [(), (ReasoningDelta(0, "Nothing."),)])
async def test_state_that_can_be_read_is_dropped_with_what_it_contains(deltas: tuple[Event, ...]) -> None:
    part = Reasoning("Nothing.", provider_state=b'{"type":"reasoning","content":"ada@example.com"}')

    events = await Layer(*deltas, PartCompleted(0, part), FINISHED, output=MASK).events(streaming=True)

    assert events[-2] == PartCompleted(0, Reasoning("Nothing."))


async def test_the_arguments_of_tool_calls_stay_valid_json_and_agree_with_their_deltas() -> None:
    call = ToolCall("call_1", "pay", '{"card":4111111111111111,"to":"ada\\u0040example.com"}', b"signature")
    events = (
        ToolCallDelta(0, "call_1", "pay", '{"card":41111'),
        ToolCallDelta(0, "", "", call.arguments_json[13:]),
        PartCompleted(0, call),
        replace(FINISHED, reason=FinishReason.TOOL_CALLS),
    )
    masked = '{"card":"[CARD_1]","to":"[EMAIL_1]"}'

    assert (await Layer(*events, output=MASK).events(streaming=True))[:-1] == [
        ToolCallDelta(0, "call_1", "pay", ""),
        ToolCallDelta(0, "", "", masked),
        PartCompleted(0, ToolCall("call_1", "pay", masked)),
    ]


async def test_structured_output_stays_valid_json_and_is_counted_once() -> None:
    text = '{"to": "ada\\u0040example.com"}'
    finished = replace(FINISHED, structured_json=text)
    layer = Layer(TextDelta(0, text[:12]), TextDelta(0, text[12:]), PartCompleted(0, Text(text)), finished, output=MASK)

    masked = '{"to": "[EMAIL_1]"}'
    assert await layer.events(streaming=True, output_format=JsonObjectFormat()) == [
        TextDelta(0, masked), PartCompleted(0, Text(masked)), replace(finished, structured_json=masked)
    ]  # fmt: skip
    assert layer.counted == [("emails", "output", "mask", 1)]


async def test_text_files_of_a_response_are_masked() -> None:
    file = Attachment("text/csv", "a.csv", data=b"ada@example.com,\xff")

    events = await Layer(PartCompleted(0, file), FINISHED, output=MASK).events()

    assert events[0] == PartCompleted(0, replace(file, data=b"[EMAIL_1],\xff"))


async def test_a_restart_begins_anew() -> None:
    again = metadata()
    events = (
        TextDelta(0, "I wrote to ada@exa"), Restarted(again), TextDelta(0, "mple.com is what I wrote, ada@example.com"),
        PartCompleted(0, Text("mple.com is what I wrote, ada@example.com")), FINISHED,
    )  # fmt: skip
    layer = Layer(*events, input=MASK, output=MASK)

    found = await layer.events(user(f"Hi, {CARD}"), streaming=True)

    assert found == [
        TextDelta(0, "I wrote to "), Restarted(again),
        TextDelta(0, "mple.com is what I wrote, "), TextDelta(0, "[EMAIL_1]"),
        PartCompleted(0, Text("mple.com is what I wrote, [EMAIL_1]")), FINISHED,
    ]  # fmt: skip
    assert [warning.field for warning in again.warnings] == ["messages[0]", "message.parts[0]"]
    assert layer.counted == [("cards", "input", "mask", 1), ("emails", "output", "mask", 1)]


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_blocked_response_has_no_content_but_its_usage(streaming: bool) -> None:
    events = (TextDelta(0, "Hi "), PartCompleted(0, Text(f"Hi {EMAIL}")), replace(FINISHED, structured_json="{}"))
    layer = Layer(*events, output={"emails": "block", "cards": "mask"})

    stream = await layer.stream(streaming=streaming)

    assert [event async for event in stream] == [BLOCKED]
    assert [(one.field, one.message) for one in stream.metadata.warnings] == [
        ("message.parts[0]", "The safety filter emails blocked the response.")
    ]
    assert layer.counted == [("emails", "output", "block", 1)]


async def test_a_response_that_may_be_blocked_is_passed_on_once_it_is_checked() -> None:
    events: list[Event] = [
        TextDelta(0, "Hi "), TextDelta(0, "there"), PartCompleted(0, Text("Hi there")), FINISHED
    ]  # fmt: skip
    stream = await Layer(*events, output={"emails": "block"}).stream(streaming=True)

    assert await stream.read() == [
        TextDelta(0, "Hi "), TextDelta(0, "there"), PartCompleted(0, Text("Hi there")), FINISHED
    ]  # fmt: skip
    assert stream.is_ended


async def test_a_response_beyond_its_maximum_ends_where_it_is() -> None:
    events = (
        TextDelta(0, "four score "), ToolCallDelta(1, "a", "b", ""), TextDelta(0, "and seven years ago"),
        PartCompleted(0, Text("four score and seven years ago")), FINISHED,
    )  # fmt: skip

    assert await Layer(*events, max_output_characters=20).events(streaming=True) == [
        TextDelta(0, "four score "), ToolCallDelta(1, "a", "b", ""), PartCompleted(0, Text("four score ")), BLOCKED,
    ]  # fmt: skip


async def test_a_call_without_matches_is_passed_on_unchanged() -> None:
    layer = Layer(input=MASK)
    call = make_call()

    await layer.handle(call)

    assert layer.sent is call
    assert layer.counted == []


async def test_text_parts_of_one_message_are_filtered_as_one_text() -> None:
    image = Attachment("image/png", data=b"image")
    plain = user("Hi", "there")
    layer = Layer(input=MASK)

    stream = await layer.stream(
        Message(Role.USER, (Text("ada@exa"), image, Text("mple.com", cache_hint=CacheHint.SHORT))), plain
    )

    assert layer.sent.messages[0].parts == (Text("[EMAIL_1]"), image, Text("", cache_hint=CacheHint.SHORT))
    assert layer.sent.messages[1] is plain
    assert [warning.field for warning in stream.metadata.warnings] == ["messages[0]"]
    with pytest.raises(ContentBlocked, match=r"messages\[0\] contains text"):
        await Layer(input={"cards": "block"}).stream(user("4111 1111", " 1111 1111"))


async def test_history_is_filtered_and_named_as_such() -> None:
    messages = [user(f"Mail u{n}@example.com") for n in range(3)]

    stream = await Layer(input=MASK).stream(*messages, turn=ConversationTurn("c", 1, 2))

    assert [warning.field for warning in stream.metadata.warnings] == ["conversation_id", "messages[0]"]


async def test_warnings_are_limited() -> None:
    messages = [user(f"Mail u{n}@example.com") for n in range(MAX_WARNINGS + 5)]

    stream = await Layer(input=MASK).stream(*messages)

    assert len(stream.metadata.warnings) == MAX_WARNINGS
    assert stream.metadata.warnings[-1].message == "The safety filters masked text in 6 more fields."


async def test_refused_requests_name_the_filter_and_never_the_text() -> None:
    layer = Layer(input={"cards": "block"})

    with pytest.raises(ContentBlocked) as caught:
        await layer.stream(user("Hi", f"My card: {CARD}"))

    error = caught.value
    assert error.message == "messages[0] contains text that the safety filter cards blocks."
    assert error.metadata == {"filter": "cards"}
    assert "4111" not in repr(vars(error))
    assert error.__cause__ is None
    assert layer.counted == [("cards", "input", "block", 1)]
    assert layer.upstream.requests == []


async def test_too_many_matches_are_refused() -> None:
    with pytest.raises(ContentBlocked, match="contains more places to mask than one request may have"):
        await Layer(input=MASK).stream(user("a@b.co " * 10_001))


@pytest.mark.parametrize("caller", ["alice", "bob"])
async def test_downloaded_text_files_are_filtered_with_placeholders_of_their_own(caller: str) -> None:
    async def fetch(url: str, mime_type: str, max_bytes: int, field: str, caller: str) -> bytes:
        return EMAIL.encode()

    fetcher = Layer(input=MASK, exempt_callers=["bob"]).layer.filtering(fetch)
    only_output = Layer(output=MASK).layer.filtering(fetch)

    text = await fetcher("https://a.test/a", "text/plain", 99, "messages[0].parts[0]", caller)
    assert text == (b"[EMAIL]" if caller == "alice" else EMAIL.encode())
    for each, mime_type in ((fetcher, "application/pdf"), (only_output, "text/plain")):
        assert await each("https://a.test/a", mime_type, 99, "f", caller) == EMAIL.encode()


async def test_a_response_that_is_not_read_to_its_end_is_closed() -> None:
    layer = Layer(TextDelta(0, "Hi"), PartCompleted(0, Text("Hi")), FINISHED, output=MASK)
    stream = await layer.stream(streaming=True)

    assert stream.buffered == ()
    assert stream.usage_so_far() is None
    await stream.aclose()
    assert layer.upstream.closed == 1


def test_nothing_is_filtered_by_default() -> None:
    app = App(settings_with())
    pipeline = app.components.pipeline

    assert pipeline.safety_filters == ()
    assert pipeline.operation_layers == (pipeline.caller_quota,)


def test_a_pattern_that_cannot_be_used_prevents_the_start() -> None:
    patterns = {"codename": {"pattern": "aurora.*", "input": "mask"}}

    with pytest.raises(StartupError, match=r"safety_filters\.patterns\.codename\.pattern: must match at most 1000"):
        App(settings_with(safety_filters={"patterns": patterns}))


def test_a_reload_changes_what_is_filtered() -> None:
    app = App(settings_with())

    prepared = app.prepare(settings_with(safety_filters={"input": {"emails": "mask"}}))

    assert len(prepared.components.pipeline.safety_filters) == 1
    with pytest.raises(StartupError):
        app.prepare(settings_with(safety_filters={"patterns": {"x": {"pattern": "("}}}))


async def test_native_options_are_filtered_in_all_their_values() -> None:
    options = {
        "metadata": {EMAIL: [EMAIL, 4111111111111111, 7, True, None, 0.5]},
        "user": "plain",
    }
    layer = Layer(input=MASK)
    call = make_call()

    await layer.handle(call.with_targets(replace(call.target, options=options)))

    assert layer.sent.target.options == {
        "metadata": {"[EMAIL_1]": ["[EMAIL_1]", "[CARD_1]", 7, True, None, 0.5]},
        "user": "plain",
    }


async def test_what_has_no_match_stays_the_same_beside_what_has_one() -> None:
    image = Attachment("image/png", data=EMAIL.encode())
    plain = Message(
        Role.USER,
        (ToolResult("call_1", "f", '{"a": 1}', (image,)), image, Attachment("text/plain", uri="https://a.test")),
    )
    layer = Layer(input=MASK)

    results = (
        ToolResult("call_2", "f", f"plain {EMAIL}", (image,)), ToolResult("call_3", "f", '\n {"a": "ada\\u0040x.de"}'),
    )  # fmt: skip
    await layer.stream(plain, Message(Role.USER, results))

    assert layer.sent.messages[0] is plain
    assert layer.sent.messages[1].parts == (
        ToolResult("call_2", "f", "plain [EMAIL_1]", (image,)), ToolResult("call_3", "f", '\n {"a": "[EMAIL_2]"}'),
    )  # fmt: skip
