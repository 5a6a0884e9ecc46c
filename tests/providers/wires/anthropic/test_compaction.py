"""Which block is sent in place of a summary, and what a compaction request keeps of a generation request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming

from aimanager_server.core.content import Effort, Message, ReasoningOptions, Role, Sampling, Text
from aimanager_server.core.provider_state import fingerprint_of, marked
from tests.support.anthropic import anthropic_wire, assistant, make_attempt
from tests.support.vendor_sdks import validated_by
from tests.support.wire_cases import user

KEY, MODEL = "sk-ant-canary-0123456789", "claude-opus-5-5"
BLOCK = {"type": "compaction", "content": "They greet.", "signature": "Eq=="}


def summary(state: object, role: Role = Role.USER, *more: Text) -> Message:
    data = state if isinstance(state, bytes) else json.dumps(state).encode()
    return Message(role, (Text("Summary", marked(data, fingerprint_of(KEY))), *more), "claude", MODEL)


def sent(*messages: Message) -> dict[str, Any]:
    attempt = make_attempt(*messages, user("Hi"), model=MODEL)
    request = anthropic_wire().encode(attempt, KEY)
    body: dict[str, Any] = json.loads(request.body)
    assert ("anthropic-beta" in request.headers) == (body["messages"][0]["content"][0]["type"] == "compaction")
    return body


def test_the_block_is_sent_as_it_was_returned() -> None:
    block: dict[str, Any] = {**BLOCK, "tool_changes": [], "encrypted_content": None}

    body = sent(summary({"type": "compaction", "block": block}))

    assert body["messages"][0] == {"role": "assistant", "content": [block]}
    assert body["messages"][1] == {"role": "user", "content": [{"type": "text", "text": "Hi"}]}


STATE = {"type": "compaction", "block": BLOCK}


@pytest.mark.parametrize(
    "messages",
    [
        (summary(b"{"),),
        (summary([]),),
        (summary({"type": "reasoning", "block": BLOCK}),),
        (summary({**STATE, "block": {**BLOCK, "signature": ""}}),),
        (summary({**STATE, "block": {**BLOCK, "content": None}}),),
        (summary(STATE, Role.USER, Text("more")),),
        (user("Before"), summary(STATE)),
        (user("Hi"), summary(STATE, Role.ASSISTANT)),
    ],
)
def test_anything_else_is_sent_as_text(messages: tuple[Message, ...]) -> None:
    contents = [block for message in sent(*messages)["messages"] for block in message["content"]]

    assert {"type": "text", "text": "Summary"} in contents
    assert all(block["type"] == "text" for block in contents)


def test_a_compaction_request_has_no_field_that_shapes_an_answer() -> None:
    attempt = make_attempt(
        user("Hi"),
        assistant("Hello."),
        model=MODEL,
        system_instruction="Be brief.",
        sampling=Sampling(max_output_tokens=5_000, stop_sequences=("x",)),
        reasoning=ReasoningOptions(Effort.LOW),
        options={"context_management": {"edits": []}, "output_config": {"task_budget": {"remaining": 5}}},
    )

    request = anthropic_wire().encode_compaction(attempt, KEY)

    body = json.loads(request.body)
    assert validated_by(MessageCreateParamsNonStreaming, body) == body
    assert body.keys() == {"model", "max_tokens", "system", "messages", "thinking", "output_config", "compaction"}
    assert (body["compaction"], body["output_config"]) == ({"type": "summarize"}, {"effort": "low"})
    assert (request.url, request.headers["anthropic-beta"]) == (
        "https://api.anthropic.com/v1/messages",
        "compact-2026-09-04",
    )
