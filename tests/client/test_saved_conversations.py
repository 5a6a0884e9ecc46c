"""Conversations that are saved as a file and loaded again, over a server in this process."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimanager import (
    AIManager,
    AsyncAIManager,
    AsyncConversation,
    Conversation,
    InvalidRequestError,
    message_to_dict,
    tool,
    tool_result,
    user,
)
from aimanager._convert.conversations import count_first_turns
from aimanager.v1 import content_pb2, conversation_pb2


@pytest.fixture(scope="module")
def ai() -> Iterator[AIManager]:
    with AIManager("key", provider="mock") as client:
        yield client


@pytest.fixture(scope="module")
def long(ai: AIManager) -> Conversation:
    """A conversation of more turns than fit in a page, with a file, a tool call and a pinned turn."""
    conversation = ai.conversation(title="Trip ☂", system_instruction="Be brief.", labels={"team": "travel"})
    prompt = '[[tool: weather {"city": "Rome"}]]'
    (call,) = conversation.request(prompt, attachments=b"a,b", tools=tool("weather")).send().tool_calls
    conversation.append(tool_result(call, "Sunny"))
    for number in range(55):
        conversation.append(f"Note {number}", pinned=number == 1)
    return conversation


def test_a_loaded_conversation_has_the_same_turns(ai: AIManager, long: Conversation, tmp_path: Path) -> None:
    path = tmp_path / "trip.json"
    path.write_text("old")

    long.save(path)
    loaded = Conversation.load(ai, str(path))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["trip.json"]
    assert loaded.id != long.id
    assert loaded.history == long.history
    assert [(turn.number, turn.messages, turn.is_pinned) for turn in loaded.turns] == [
        (turn.number, turn.messages, turn.is_pinned) for turn in long.turns
    ]
    assert (loaded.title, loaded.model, loaded.system_instruction, loaded.labels) == (
        "Trip ☂",
        "mock/latest",
        "Be brief.",
        {"team": "travel"},
    )
    assert str(loaded.request("[[reply: On we go.]]").send()) == "On we go."
    assert len(loaded.history) == len(long.history) + 2


def test_the_file_has_a_version_and_readable_messages(ai: AIManager, tmp_path: Path) -> None:
    conversation = ai.conversation(title="Trip")
    conversation.request("[[reply: Hello.]]").send()

    conversation.save(tmp_path / "trip.json")

    document = json.loads((tmp_path / "trip.json").read_text("utf-8"))
    answer = document["turns"][0]["messages"][1]
    assert (document["format"], document["version"]) == ("aimanager.conversation", 1)
    assert document["conversation"] == {"title": "Trip", "model": "mock/latest"}
    assert (answer["role"], answer["content"]) == ("assistant", "Hello.")


def saved(**changes: Any) -> dict[str, Any]:
    turn = {"messages": [message_to_dict(user("Hi"))], "pinned": False}
    return {"format": "aimanager.conversation", "version": 1, "conversation": {}, "turns": [turn], **changes}


def saved_notes(count: int, **marks: bool) -> list[dict[str, Any]]:
    return [{**saved()["turns"][0], "messages": [message_to_dict(user(f"Note {n}"))], **marks} for n in range(count)]


def test_what_does_not_fit_into_one_request_follows(ai: AIManager, tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text(json.dumps(saved(turns=saved_notes(5_050, interrupted=True))))

    loaded = Conversation.load(ai, path)

    turns = loaded.turns
    assert [turn.messages[0].parts[0].text for turn in turns] == [f"Note {n}" for n in range(5_050)]
    assert all(turn.is_interrupted for turn in turns)
    loaded.save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == saved(turns=saved_notes(5_050, interrupted=True))
    loaded.delete()


def test_a_request_has_as_many_turns_as_fit() -> None:
    short = conversation_pb2.NewTurn(messages=[user("Hi")] * 10)
    large = conversation_pb2.NewTurn(messages=[user("x" * 15 * 2**20)])
    many = conversation_pb2.NewTurn(messages=[content_pb2.Message()] * 100)  # fields of a message: that of its turn

    counts = [count_first_turns(turns) for turns in ([], [large] * 3, [short] * 3, [short] * 500, [many] * 60)]
    assert counts == [0, 1, 3, 463, 50]


def test_a_file_of_an_earlier_chat_is_read(ai: AIManager, tmp_path: Path) -> None:
    said = [("user", "Hi"), ("assistant", "Hello."), ("user", "And"), ("user", "then?")]
    messages = [{"role": role, "content": text} for role, text in said]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"version": 1, "model": "mock/fast", "system": None, "messages": messages}))

    loaded = Conversation.load(ai, path)

    assert (loaded.model, loaded.system_instruction, loaded.turn_count) == ("mock/fast", "", 3)
    assert [message_to_dict(message) for message in loaded.history] == messages


BROKEN: dict[str, object] = {
    "it is no JSON": b"{",
    "it is no JSON: ": b"[" * 100_000,
    "it is no JSON: 'utf-8' codec": b'"\xff"',
    "it has no format 'aimanager.conversation'": [],
    "it has no format": saved(format="other"),
    "has version 2 of the format; this client reads version 1": saved(version=2),
    "has version None": saved(version=None),
    "turns[0] has no 'messages'": saved(turns=[{"pinned": True}]),
    "'conversation' of the file must be an object, got a text": saved(conversation="Trip"),
    "'turns' of the file must be a list, got a number": saved(turns=5),
    "'turns' of the file must be a list, got an object": saved(turns={}),
    "'pinned' of turns[0] must be true or false, got a text": saved(turns=[{"messages": [], "pinned": "x"}]),
    "turns[0].messages[0] must be an object, got null": saved(turns=[{"messages": [None], "pinned": True}]),
    "conversation['model'] must name a model": saved(conversation={"model": "nosuch/zz/\n"}),
    "'messages' of the file must be a list": {"version": 1, "model": None, "system": None, "messages": 3},
    "message['role'] must be 'user' or 'assistant'": saved(turns=[{"messages": [{"role": "system"}], "pinned": False}]),
    "turns[0] has no 'pinned'": saved(turns=[{"messages": [{"role": "user", "content": "Hi"}]}]),
    "turns[0].messages[0] must be an object, got a text": saved(turns=[{"messages": ["Hi"], "pinned": False}]),
    "The dict is not a Conversation": saved(conversation={"labels": 5}),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_file_is_reported(ai: AIManager, problem: str, tmp_path: Path) -> None:
    path, content = tmp_path / "trip.json", BROKEN[problem]
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    before = len(list(ai.conversations.list()))

    with pytest.raises(InvalidRequestError) as rejected:
        Conversation.load(ai, path)

    assert problem in str(rejected.value)
    assert str(path) in str(rejected.value)
    assert len(str(rejected.value)) < 1_000
    assert rejected.value.solution
    assert len(list(ai.conversations.list())) == before


def test_a_missing_file_is_an_os_error(ai: AIManager, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Conversation.load(ai, tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        ai.conversation().save(tmp_path / "none" / "trip.json")


async def test_a_conversation_that_the_server_rejects_is_not_left_behind(ai: AIManager, tmp_path: Path) -> None:
    path = tmp_path / "trip.json"
    empty = {"messages": [{"role": "user", "content": []}], "pinned": False}
    path.write_text(json.dumps(saved(turns=[*saved()["turns"], empty])))
    before = len(list(ai.conversations.list()))

    with pytest.raises(InvalidRequestError):
        Conversation.load(ai, path)
    async with AsyncAIManager("key", provider="mock") as other:
        with pytest.raises(InvalidRequestError):
            await AsyncConversation.load(other, path)
        assert [each async for each in other.conversations.list()] == []

    assert len(list(ai.conversations.list())) == before
