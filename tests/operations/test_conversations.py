"""What a prompt and a summary take of a large conversation, and that nothing is left out silently."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from aimanager_server.config.settings import Settings
from aimanager_server.core.content import Message, Role, Text, ToolCall
from aimanager_server.core.conversation import ConversationSettings, History, NewTurn, Turn, new_conversation
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.request import GenerateParams
from aimanager_server.core.response import Finished, FinishReason, GenerateResult, ResponseMetadata
from aimanager_server.operations.conversations import MAX_SUMMARIZED_CHARACTERS, Conversations, prompt_of
from aimanager_server.storage.opening import open_storage
from aimanager_server.storage.unfinished_turns import UnfinishedTurns
from aimanager_server.telemetry.response_cache_metrics import ResponseCacheMetrics
from aimanager_server.validation.messages import MAX_MESSAGE_JSON_VALUES


def conversations() -> Conversations:
    settings = Settings()
    storage = open_storage(settings, ResponseCacheMetrics(CollectorRegistry()), time.time, time.monotonic)
    return Conversations(storage, UnfinishedTurns(), settings, time.time)


def user(text: str) -> Message:
    return Message(Role.USER, (Text(text),))


async def test_no_message_is_an_error_of_the_request() -> None:
    operations = conversations()
    started = await operations.create("alice", ConversationSettings(), (), None)

    with pytest.raises(InvalidRequest, match="at least one message"):
        await operations.append("alice", started.id, NewTurn(()))


async def test_a_summary_replaces_only_the_turns_that_were_summarized() -> None:
    operations = conversations()
    started = await operations.create("alice", ConversationSettings(model="m"), (), None)
    size = MAX_SUMMARIZED_CHARACTERS * 2 // 5
    for number in range(5):
        await operations.append("alice", started.id, NewTurn((user(f"{number}" + "x" * size),)))
    prompts: list[str] = []

    async def summarize(params: GenerateParams) -> GenerateResult:
        (part,) = params.messages[0].parts
        assert isinstance(part, Text)
        prompts.append(part.text)
        metadata = ResponseMetadata("1", "m", "mock", "mock-large")
        answer = Message(Role.ASSISTANT, (Text(f"summary {len(prompts)}"),))
        return GenerateResult(metadata, answer, Finished(FinishReason.STOP))

    covered = []
    for _ in range(4):
        compacted = await operations.compact("alice", started.id, "", 0, summarize)
        assert compacted.conversation.summary is not None
        covered.append(compacted.conversation.summary.turns)

    assert covered == [2, 4, 5, 5]
    assert ["summary 1" in prompts[1], "summary 2" in prompts[2], len(prompts)] == [True, True, 3]
    assert all(f"user: {number}x" in prompts[number // 2] for number in range(5))


def test_turns_that_do_not_fit_into_a_request_are_counted() -> None:
    conversation = new_conversation("alice", ConversationSettings(), 0.0, 1.0, 1.0)
    turns = tuple(Turn(number, (user(f"{number}"),), 0.0) for number in range(3, 9))

    messages, turn = prompt_of(History(conversation, turns, omitted=3), 4)

    assert [message.parts for message in messages] == [(Text(f"{number}"),) for number in range(5, 9)]
    assert turn.omitted == 5


def test_old_turns_whose_json_takes_too_long_to_parse_are_left_out() -> None:
    conversation = new_conversation("alice", ConversationSettings(), 0.0, 1.0, 1.0)
    arguments = "[" + "1," * (MAX_MESSAGE_JSON_VALUES // 4) + "1]"
    turns = tuple(
        Turn(number, (user("?"), Message(Role.ASSISTANT, (ToolCall(f"call_{number}", "f", arguments),))), 0.0)
        for number in range(5)
    )

    messages, turn = prompt_of(History(conversation, turns), 100)

    assert (len(messages), turn.omitted) == (6, 2)
