"""Conversations in Python, through a real server over every store that needs no other process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aimanager import (
    AIManager,
    AsyncAIManager,
    AsyncConversation,
    Conversation,
    ConversationBusyError,
    ConversationNotFoundError,
    InvalidModelError,
    InvalidRequestError,
    ProviderError,
    Session,
    StreamInterruptedError,
    tool_result,
    user,
)
from tests.support.eventually import eventually
from tests.support.gateway import settings_with, started_gateway

WAITING = "[[words: 3]] [[stall: 1]]"


@pytest.fixture(params=["memory", "sqlite"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db"
    storage = {"storage": {"url": url}} if request.param == "sqlite" else {}
    with started_gateway(settings_with(**storage)) as address:
        yield address


@pytest.fixture
def ai(target: str) -> Iterator[AIManager]:
    with AIManager.gateway(target) as client:
        yield client


@pytest.fixture(scope="module")
def memory_target() -> Iterator[str]:
    with started_gateway(settings_with()) as address:
        yield address


@pytest.fixture
def memory_ai(memory_target: str) -> Iterator[AIManager]:
    with AIManager.gateway(memory_target) as client:
        yield client


@pytest.fixture(params=["memory_ai", "embedded"])
def either_ai(request: pytest.FixtureRequest) -> Iterator[AIManager]:
    """A client of a gateway, and one with a server in this process."""
    if request.param == "memory_ai":
        yield request.getfixturevalue("memory_ai")
        return
    with AIManager("key", provider="mock") as client:
        yield client


def texts(conversation: Conversation) -> list[str]:
    return ["".join(part.text for part in message.parts) for message in conversation.history]


# requests


def test_a_conversation_remembers(ai: AIManager) -> None:
    conversation = ai.conversation(title="Trip", labels={"team": "travel"})

    first = conversation.request("My name is Ada. [[reply: Hello, Ada.]]").send()
    stream = conversation.request("[[reply: Ada.]]").stream()
    pieces = list(stream.text)

    again = ai.conversation(conversation.id)
    assert (str(first), "".join(pieces)) == ("Hello, Ada.", "Ada.")
    assert texts(again) == ["My name is Ada. [[reply: Hello, Ada.]]", "Hello, Ada.", "[[reply: Ada.]]", "Ada."]
    assert stream.response.usage.input_tokens > first.usage.input_tokens
    assert (again.title, again.labels, again.turn_count, again.message_count) == ("Trip", {"team": "travel"}, 2, 4)
    assert again.usage.output_tokens == first.usage.output_tokens + stream.response.usage.output_tokens
    assert again.cost == (first.cost or 0) + (stream.response.cost or 0)
    assert [turn.usage for turn in again.turns] == [first.usage, stream.response.usage]
    assert [turn.cost for turn in again.turns] == [first.cost, stream.response.cost]


def test_an_embedded_conversation_remembers(either_ai: AIManager) -> None:
    conversation = either_ai.conversation()

    conversation.request("One").send()
    answer = conversation.request("[[reply: Two]]").send()

    assert (str(answer), len(conversation.history)) == ("Two", 4)
    assert [each.id for each in either_ai.conversations.list()][:1] == [conversation.id]


def test_options_are_set_by_calls_or_as_keywords(memory_ai: AIManager, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b")
    conversation = memory_ai.conversation(model="mock/latest", system_instruction="Be brief.")

    answer = (
        conversation.request('[[reply: {"result": [1, 2]}]]', seed=3, attachments=[b"first"])
        .with_temperature(0.5)
        .with_reasoning("low")
        .with_max_tokens(50)
        .with_model("mock/fast")
        .attach_file(tmp_path / "table.csv")
        .with_output(list[int])
        .send()
    )

    question = conversation.history[0]
    assert (answer.parsed, answer.model, answer.warnings) == ([1, 2], "mock-small", ())
    assert [part.attachment.data or part.text for part in question.parts] == [
        b"first",
        b"a,b",
        '[[reply: {"result": [1, 2]}]]',
    ]
    assert conversation.request("Hi").send().model == "mock-large"


def test_the_model_of_a_conversation_comes_before_the_clients_default(memory_target: str) -> None:
    with AIManager("key", "mock", "latest", target=memory_target) as ai:
        inherited, own = ai.conversation(), ai.conversation(model="fast")

        assert (inherited.model, own.model) == ("mock/latest", "mock/fast")
        own.request("Hi").send()
        assert [own.request("Hi").send().model, own.request("Hi").with_model("current").send().model] == [
            "mock-small",
            "mock-medium",
        ]
        own.update(model="")
        assert own.request("Hi").send().model == "mock-large"


def test_a_tool_call_is_answered_by_the_next_turn(memory_ai: AIManager) -> None:
    def weather(city: str) -> str:
        """Return the weather."""
        return city

    conversation = memory_ai.conversation()

    (call,) = conversation.request('[[tool: weather {"city": "Rome"}]]').with_tools([weather]).send().tool_calls
    answer = conversation.request(user(tool_result(call, "Sunny"), "[[reply: Sun.]]"), tools=weather).send()

    assert (call.arguments, str(answer), len(conversation.history)) == ({"city": "Rome"}, "Sun.", 4)


def test_a_request_is_sent_once(memory_ai: AIManager) -> None:
    conversation = memory_ai.conversation()
    sent, streamed = conversation.request("One"), conversation.request("Two")
    sent.send()
    streamed.stream().complete()

    for again in (sent.send, sent.stream, streamed.send, streamed.stream):
        with pytest.raises(InvalidRequestError, match="already") as rejected:
            again()
        assert "conversation.request(…)" in rejected.value.solution
    assert len(conversation.turns) == 2


def test_a_file_joins_the_next_turn_only(memory_ai: AIManager, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("A note.")
    conversation = memory_ai.conversation()

    conversation.add_file(str(tmp_path / "note.txt"))
    (tmp_path / "note.txt").unlink()  # it was read at once
    conversation.request("One", attachments=b"own").send()
    conversation.request("Two").send()

    one, _, two, _ = conversation.history
    assert [part.attachment.data for part in one.parts[:2]] == [b"A note.", b"own"]
    assert [part.text for part in two.parts] == ["Two"]
    with pytest.raises(InvalidRequestError, match="Cannot read attachment"):
        conversation.add_file(tmp_path / "note.txt")


def test_a_failed_request_adds_nothing(memory_ai: AIManager) -> None:
    conversation = memory_ai.conversation()

    with pytest.raises(ProviderError):
        conversation.request("[[error: PROVIDER_REJECTED_REQUEST]]").send()

    assert conversation.history == []


def test_an_interrupted_stream_is_kept_and_marked(memory_ai: AIManager) -> None:
    conversation = memory_ai.conversation()

    with pytest.raises(StreamInterruptedError):
        list(conversation.request("[[words: 9]] [[cut: 3]]").stream(on_interruption="fail"))

    (turn,) = conversation.turns
    assert (turn.is_interrupted, repr(turn)) == (True, "ConversationTurn(number=0, is_interrupted=True)")
    assert turn.messages[1].parts[0].text == "word1 word2 word3 "
    assert turn.create_time
    assert turn.artifacts == ()


def test_a_busy_conversation_fails_at_once(ai: AIManager) -> None:
    conversation = ai.conversation()
    with conversation.request(WAITING).stream() as stream:
        text = stream.text
        next(text)

        with pytest.raises(ConversationBusyError) as busy:
            conversation.request("Me too").send()
        with pytest.raises(ConversationBusyError):
            conversation.append("Me too")

    asyncio.run(eventually(lambda: len(conversation.turns), 1))
    assert (busy.value.reason, bool(busy.value.solution)) == ("CONVERSATION_BUSY", True)
    assert str(conversation.request("[[reply: Now]]").send()) == "Now"


# the conversation


def test_conversations_are_listed_changed_and_deleted(ai: AIManager) -> None:
    first, second, third = (ai.conversation(title=title, labels={"team": "travel"}) for title in ("1", "2", "3"))
    ai.conversation(title="other")

    first.update(title="first", system_instruction="Be brief.", model="mock/fast", labels={"team": "travel", "a": "b"})
    second.delete()

    listed = list(ai.conversations.list(labels={"team": "travel"}, page_size=1))
    assert [each.title for each in listed] == ["first", "3"]
    assert (listed[0].system_instruction, listed[0].model) == ("Be brief.", "mock/fast")
    assert listed[0].update_time == first.update_time
    assert repr(listed[1]) == f"Conversation(id={third.id!r}, title='3', turn_count=0)"
    for gone in (
        lambda: ai.conversation(second.id),
        lambda: ai.conversations.get(second.id),
        lambda: ai.conversations.delete(second.id),
        second.delete,
        second.refresh,
        second.request("Hi").send,
        second.request("Hi").stream().complete,
    ):
        with pytest.raises(ConversationNotFoundError):
            gone()
    ai.conversations.delete(third.id)
    assert len(list(ai.conversations.list(labels={"team": "travel"}))) == 1


def test_turns_are_appended_pinned_forked_and_compacted(ai: AIManager) -> None:
    conversation = ai.conversation(model="mock/latest", title="Trip")
    conversation.append("Answer in Latin.", pinned=True)
    conversation.append([("user", "One"), ("assistant", "Unus")])
    conversation.request("[[reply: Duo]]").send()
    conversation.pin(2)
    conversation.pin(0, pinned=False)

    fork, copy = conversation.fork(turn=2, title="Other"), conversation.fork()
    compaction = conversation.compact(keep_turns=1)

    assert [turn.is_pinned for turn in conversation.turns] == [False, False, True]
    assert texts(fork) == ["Answer in Latin.", "One", "Unus"]
    assert (fork.title, fork.forked_from, copy.title, copy.turn_count) == ("Other", conversation.id, "Trip", 3)
    assert (compaction.turns, compaction.text) == (2, conversation.summary)
    assert compaction.usage.input_tokens > 0
    assert compaction.cost
    assert conversation.compact().cost is None  # nothing to summarize
    assert [each.field for each in copy.compact(keep_turns=0, native=True).warnings] == ["native"]
    assert len(conversation.history) == 5
    assert conversation.expire_time is not None
    assert conversation.create_time is not None
    with pytest.raises(InvalidModelError):
        conversation.compact(keep_turns=0, model="mock/none")


INVALID: dict[str, Callable[[AIManager, Conversation], object]] = {
    "title applies to a new conversation": lambda ai, one: ai.conversation(one.id, title="Trip"),
    "title must be a str": lambda ai, one: ai.conversation(title=1),  # type: ignore[arg-type]
    "title must have at most 256 characters": lambda ai, one: one.update(title="x" * 257),
    "labels must be a dict": lambda ai, one: one.update(labels=["team"]),  # type: ignore[arg-type]
    "update() needs something to change": lambda ai, one: one.update(),
    "turn must be at most the number of turns, 0, got 9": lambda ai, one: one.fork(turn=9),
    "turn must be a 32-bit integer, got 'x'": lambda ai, one: one.pin("x"),  # type: ignore[arg-type]
    "turn must be less than the number of turns, 0, got 0": lambda ai, one: one.pin(0),
    "keep_turns must": lambda ai, one: one.compact(keep_turns=-1),
    "prompt must not have a system message": lambda ai, one: one.append(
        [{"role": "system", "content": "Be brief."}, "Hi"]
    ),
    "prompt must not be empty": lambda ai, one: one.append(""),
    "page_size must": lambda ai, one: list(ai.conversations.list(page_size=-1)),
    "id must be a str": lambda ai, one: ai.conversations.delete(5),  # type: ignore[arg-type]
}


def test_invalid_arguments_are_named(memory_ai: AIManager) -> None:
    conversation = memory_ai.conversation()

    for message, call in INVALID.items():
        with pytest.raises(InvalidRequestError) as rejected:
            call(memory_ai, conversation)
        assert str(rejected.value).startswith(message)
        assert rejected.value.solution


def test_session_is_the_name_in_the_design_document() -> None:
    assert Session is Conversation


# asyncio


async def test_an_async_conversation_does_the_same(target: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("A note.")
    async with AsyncAIManager.gateway(target) as ai:
        conversation = await ai.conversation(title="Trip", labels={"team": "travel"})
        await conversation.add_file(tmp_path / "note.txt")
        request = conversation.request("[[reply: [1]]]").with_temperature(0.5).attach_file(b"own")
        first = await request.send()
        streamed = [text async for text in conversation.request("[[reply: Two]]", model="mock/fast").stream().text]
        typed = await conversation.request('[[reply: {"result": [1]}]]').with_output(list[int]).send()
        await conversation.append("Note", pinned=True)
        await conversation.pin(0)
        await conversation.update(title="Rome")
        fork = await conversation.fork(turn=1)
        compaction = await fork.compact(keep_turns=0, model="mock/latest")
        await conversation.refresh()

        assert (str(first), "".join(streamed), typed.parsed) == ("[1]", "Two", [1])
        assert (conversation.turn_count, conversation.title, compaction.turns) == (4, "Rome", 1)
        assert [turn.is_pinned for turn in await conversation.turns] == [True, False, False, True]
        assert [part.attachment.data for part in (await conversation.history)[0].parts[:2]] == [b"A note.", b"own"]
        with pytest.raises(InvalidRequestError, match="already"):
            await request.send()

        await conversation.save(tmp_path / "trip.json")
        loaded = await AsyncConversation.load(ai, tmp_path / "trip.json")
        assert await loaded.history == await conversation.history

        await conversation.delete()
        listed = [each.id async for each in ai.conversations.list(labels={"team": "travel"}, page_size=1)]
        assert listed == [loaded.id, fork.id]
        assert (await ai.conversations.get(fork.id)).forked_from == conversation.id
        await ai.conversations.delete(fork.id)
        with pytest.raises(ConversationNotFoundError):
            await ai.conversation(fork.id)


async def test_requests_of_many_conversations_run_at_once(memory_target: str) -> None:
    async def talk(ai: AsyncAIManager, name: str) -> Any:
        conversation = await ai.conversation()
        await conversation.request(name).send()
        return (await conversation.history)[0].parts[0].text

    async with AsyncAIManager.gateway(memory_target) as ai:
        assert await asyncio.gather(*(talk(ai, name) for name in "abcd")) == list("abcd")
