"""Conversations that are created with the turns of one that was kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from aimanager.v1 import content_pb2
from aimanager.v1.conversation_pb2 import ListConversationsRequest, NewTurn
from tests.integration.test_conversations import Client, settings, tool_call, tool_result, user
from tests.support.gateway import started_gateway


def said(text: str) -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[content_pb2.Part(text=text)])


def invalid_fields(call: Callable[[], Any]) -> list[str]:
    """Return the fields that a call is rejected for."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    found = error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(found)
    return [violation.field for violation in found.field_violations]


@pytest.mark.parametrize("storage", ["memory", "sqlite", "postgresql"])
def test_a_conversation_is_created_with_its_turns(storage: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db" if storage == "sqlite" else ""
    url = str(request.getfixturevalue("postgresql_url")) if storage == "postgresql" else url
    turns = [
        NewTurn(messages=[user("Look"), tool_call("c1")], pinned=True),
        NewTurn(messages=[tool_result("c1"), tool_call("c1")]),
        NewTurn(messages=[tool_result("c1"), said("Nothing.")], interrupted=True),
        *(NewTurn(messages=[user(f"Note {number}")]) for number in range(250)),
    ]

    with started_gateway(settings(url)) as target, grpc.insecure_channel(target) as channel:
        alice = Client(channel)
        created = alice.create(title="Old", turns=turns)
        answer = alice.ask(created.id, "[[reply: Yes]]")
        found = alice.turns(created.id)

    assert (created.turn_count, created.message_count) == (253, 256)
    assert [list(turn.messages) for turn in found[:-1]] == [list(turn.messages) for turn in turns]
    assert [(turn.number, turn.pinned, turn.interrupted) for turn in found[:4]] == [
        (0, True, False),
        (1, False, False),
        (2, False, True),
        (3, False, False),
    ]
    assert not answer.warnings
    assert len(found) == 254


INVALID_TURNS: dict[str, list[NewTurn]] = {
    "turns[1].messages": [NewTurn(messages=[user("Hi")]), NewTurn()],
    "turns[1].messages[0].role": [NewTurn(messages=[user("Hi")]), NewTurn(messages=[content_pb2.Message()])],
    "turns[0].messages[0].role": [NewTurn(messages=[said("Hi")]), NewTurn(messages=[user("Hi")])],
    "turns[2].messages[0].parts[0].tool_result.tool_call_id": [
        NewTurn(messages=[user("Look"), tool_call("c1")]),
        NewTurn(messages=[tool_result("c1")]),
        NewTurn(messages=[tool_result("c1")]),
    ],
    "turns[1].messages[0].parts": [NewTurn(messages=[user("Hi")]), NewTurn(messages=[user("")])],
    "turns": [NewTurn(messages=[user("Hi")])] * 11,
}


@pytest.mark.parametrize("field", INVALID_TURNS)
def test_a_conversation_with_an_invalid_turn_is_not_created(field: str) -> None:
    limits = {"conversations": {"max_turns": 10}}
    with started_gateway(settings("", **limits)) as target, grpc.insecure_channel(target) as channel:
        alice = Client(channel)

        assert invalid_fields(lambda: alice.create(turns=INVALID_TURNS[field])) == [field]
        assert invalid_fields(lambda: alice.create(messages=[user("Hi")], turns=[NewTurn()])) == ["messages"]
        assert not alice.call("ListConversations", ListConversationsRequest()).conversations


def test_the_messages_of_new_turns_are_limited_together() -> None:
    limited = settings("", limits={"max_messages": 3})
    turns = [NewTurn(messages=[user("Hi"), said("Hi")])] * 2
    with started_gateway(limited) as target, grpc.insecure_channel(target) as channel:
        alice = Client(channel)

        assert alice.create(turns=turns[:1]).turn_count == 1
        for many in (turns, [NewTurn()] * 4):
            assert invalid_fields(partial(alice.create, turns=many)) == ["turns"]
