"""Tool call ids of other providers, which each API restricts in its own way."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from aimanager_server.core.content import Message, ToolCall, ToolResult
from tests.support import anthropic, chat_completions, responses
from tests.support.wire_cases import user

FOREIGN_IDS = ("call_1", "functions.look:0", "x" * 200, "\u00fc")
Ids = tuple[list[str], list[str]]
"""The ids of the calls and those of the results."""


def anthropic_ids(turns: list[Message]) -> Ids:
    sent = anthropic.sent_body(anthropic.make_attempt(*turns))["messages"]
    return [block["id"] for block in sent[1]["content"]], [block["tool_use_id"] for block in sent[2]["content"]]


def responses_ids(turns: list[Message]) -> Ids:
    ids = [item["call_id"] for item in responses.sent_input(*turns)[1:]]
    return ids[: len(FOREIGN_IDS)], ids[len(FOREIGN_IDS) :]


def chat_ids(vendor: str) -> Callable[[list[Message]], Ids]:
    def read(turns: list[Message]) -> Ids:
        sent = chat_completions.sent_body(chat_completions.make_attempt(*turns), vendor)["messages"]
        return [call["id"] for call in sent[1]["tool_calls"]], [message["tool_call_id"] for message in sent[2:]]

    return read


@pytest.mark.parametrize(
    ("encode", "accepted"),
    [
        (anthropic_ids, "[a-zA-Z0-9_-]{1,128}"),
        (responses_ids, ".{1,64}"),
        (chat_ids("openai"), ".{1,40}"),
        (chat_ids("mistral"), "[a-zA-Z0-9]{9}"),
        (chat_ids("chat_completions"), ".*"),
    ],
    ids=["anthropic", "responses", "openai", "mistral", "unknown"],
)
def test_every_server_receives_ids_that_it_accepts(encode: Callable[[list[Message]], Ids], accepted: str) -> None:
    calls = chat_completions.assistant(*(ToolCall(call_id, "look", "{}") for call_id in FOREIGN_IDS))
    results = user(*(ToolResult(call_id, "look", "sand") for call_id in FOREIGN_IDS))

    sent_calls, sent_results = encode([user("Look."), calls, results])

    assert sent_calls == sent_results
    assert len(set(sent_calls)) == len(FOREIGN_IDS)
    for sent, given in zip(sent_calls, FOREIGN_IDS, strict=True):
        assert re.fullmatch(accepted, sent)
        assert sent == given or not re.fullmatch(accepted, given)
