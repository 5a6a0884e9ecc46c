"""A request in protobuf becomes our words, or names the field that is wrong."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import (
    Attachment,
    Effort,
    Message,
    Reasoning,
    ReasoningOptions,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.request import GenerateParams
from aimanager_server.rpc.convert import requests as wire_read
from aimanager_server.rpc.convert import timeouts as wire_patience

USER = content_pb2.ROLE_USER


def request(**fields: Any) -> generation_pb2.GenerateRequest:
    """A question that is well formed but for `fields`."""
    turn = {"role": USER, "parts": [{"text": "Hi"}]}
    return generation_pb2.GenerateRequest(**{"messages": [turn], **fields})


def turn(*parts: dict[str, Any], role: int = USER) -> dict[str, Any]:
    """One message of these parts."""
    return {"role": role, "parts": list(parts)}


def test_everything_a_client_can_say_arrives() -> None:
    sent = request(
        model="claude/latest",
        system_instruction="Be brief",
        messages=[
            turn({"text": "Hi", "provider_state": b"a"}, {"attachment": {"mime_type": "image/png", "data": b"png"}}),
            {
                "role": content_pb2.ROLE_ASSISTANT,
                "provider": "claude",
                "model": "m",
                "parts": [
                    {"reasoning": {"text": "Hm", "redacted": True}, "provider_state": b"b"},
                    {"tool_call": {"id": "t", "name": "look", "arguments_json": "{}"}},
                ],
            },
            turn(
                {
                    "tool_result": {
                        "tool_call_id": "t",
                        "name": "look",
                        "output": "none",
                        "is_error": True,
                        "attachments": [{"mime_type": "text/plain", "filename": "f", "uri": "https://a.test/f"}],
                    }
                }
            ),
        ],
        sampling={
            "max_output_tokens": 0,
            "temperature": 0.0,
            "top_p": 0.5,
            "top_k": 3,
            "seed": -1,
            "stop_sequences": ["a"],
        },
        reasoning={"effort": generation_pb2.REASONING_EFFORT_HIGH, "budget_tokens": 5, "include": True},
        tools=[{"name": "look", "description": "Look", "strict": True}, {"name": "b", "input_schema_json": '{"a":1}'}],
        tool_choice={"mode": generation_pb2.TOOL_MODE_REQUIRED, "parallel": False},
        fallback_models=["openai/fast", "chat"],
        patience={"first_token": {"seconds": 2, "nanos": 500_000_000}, "idle": {"seconds": -1}},
        idempotency_key="once",
        labels={"team": "a"},
        provider_options_json={"claude": '{"metadata": {"user_id": "u"}}'},
    )

    read = wire_read.ask(sent, Limits(), restarts=True)

    assert read == GenerateParams(
        model="claude/latest",
        system_instruction="Be brief",
        messages=(
            Message(Role.USER, (Text("Hi", b"a"), Attachment("image/png", data=b"png"))),
            Message(
                Role.ASSISTANT, (Reasoning("Hm", True, b"b"), ToolCall("t", "look", "{}")), provider="claude", model="m"
            ),
            Message(
                Role.USER,
                (ToolResult("t", "look", "none", (Attachment("text/plain", "f", uri="https://a.test/f"),), True),),
            ),
        ),
        sampling=Sampling(0, 0.0, 0.5, 3, -1, ("a",)),
        reasoning=ReasoningOptions(Effort.HIGH, 5, True),
        tools=(Tool("look", "Look", "{}", True), Tool("b", "", '{"a":1}')),
        tool_choice=ToolChoice(ToolMode.REQUIRED, None, False),
        fallback_models=("openai/fast", "chat"),
        first_token_timeout=2.5,
        idle_timeout=-1.0,
        restart_on_interruption=True,
        idempotency_key="once",
        labels={"team": "a"},
        provider_options={"claude": {"metadata": {"user_id": "u"}}},
    )


def test_what_was_not_said_stays_unsaid() -> None:
    read = wire_read.ask(request(), Limits())

    assert read == GenerateParams(messages=(Message(Role.USER, (Text("Hi"),)),))
    assert replace(read.sampling) == Sampling()


def test_an_empty_duration_is_zero_seconds_and_not_unsaid() -> None:
    read = wire_read.ask(request(patience={"first_token": {}}), Limits())

    assert (read.first_token_timeout, read.idle_timeout) == (0.0, None)


@pytest.mark.parametrize(("policy", "restarts"), [("UNSPECIFIED", False), ("FAIL", False), ("RESTART", True)])
def test_an_answer_begins_again_where_that_is_asked_for(policy: str, restarts: bool) -> None:
    number = generation_pb2.InterruptionPolicy.Value(f"INTERRUPTION_POLICY_{policy}")

    assert wire_patience.restarts(number) is restarts


def test_an_unknown_policy_for_interruptions_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"9 is not accepted; send one of INTERRUPTION_POLICY_FAIL") as caught:
        wire_patience.restarts(9)

    assert [violation.field for violation in caught.value.violations] == ["on_interruption"]


def test_a_named_tool_is_chosen_by_name() -> None:
    read = wire_read.ask(request(tool_choice={"tool_name": "look"}), Limits())

    assert read.tool_choice == ToolChoice(tool_name="look")


NUL = "a\0b"
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("messages[0].role", {"messages": [turn({"text": "Hi"}, role=0)]}),
    ("messages[1].role", {"messages": [turn({"text": "Hi"}), turn(role=9)]}),
    ("messages[0].parts[1]", {"messages": [turn({"text": "Hi"}, {})]}),
    ("messages[0].parts[0].text", {"messages": [turn({"text": NUL})]}),
    ("messages[0].parts[0].reasoning.text", {"messages": [turn({"reasoning": {"text": NUL}})]}),
    ("messages[0].parts[0].attachment", {"messages": [turn({"attachment": {"mime_type": "image/png"}})]}),
    ("messages[0].parts[0].attachment.uri", {"messages": [turn({"attachment": {"uri": NUL}})]}),
    (
        "messages[0].parts[0].attachment.filename",
        {"messages": [turn({"attachment": {"filename": NUL, "data": b""}})]},
    ),
    ("messages[0].parts[0].tool_call.name", {"messages": [turn({"tool_call": {"name": NUL}})]}),
    ("messages[0].parts[0].tool_result.output", {"messages": [turn({"tool_result": {"output": NUL}})]}),
    (
        "messages[0].parts[0].tool_result.attachments[1]",
        {"messages": [turn({"tool_result": {"attachments": [{"uri": "https://a.test"}, {}]}})]},
    ),
    ("messages[0].provider", {"messages": [{"role": USER, "provider": NUL}]}),
    ("model", {"model": NUL}),
    ("system_instruction", {"system_instruction": NUL}),
    ("idempotency_key", {"idempotency_key": NUL}),
    ("labels", {"labels": {NUL: "a"}}),
    ('labels["team"]', {"labels": {"team": NUL}}),
    ("sampling.stop_sequences[1]", {"sampling": {"stop_sequences": ["a", NUL]}}),
    ("reasoning.effort", {"reasoning": {"effort": 99}}),
    ("tools[0].name", {"tools": [{"name": NUL}]}),
    ("tool_choice.mode", {"tool_choice": {"mode": 99}}),
    ("tool_choice.tool_name", {"tool_choice": {"tool_name": NUL}}),
    ("fallback_models[1]", {"fallback_models": ["a", NUL]}),
    ('provider_options_json["claude"]', {"provider_options_json": {"claude": "{"}}),
    ('provider_options_json["claude"]', {"provider_options_json": {"claude": "[1]"}}),
    ('provider_options_json["claude"]', {"provider_options_json": {"claude": ""}}),
    ('provider_options_json["claude"]', {"provider_options_json": {"claude": '{"a": NaN}'}}),
    ('provider_options_json["a\\"b"]', {"provider_options_json": {'a"b': "1"}}),
    ('provider_options_json["claude"]', {"provider_options_json": {"claude": '{"a":' * 5000}}),
]


@pytest.mark.parametrize(("path", "fields"), WRONG, ids=[f"{number}-{path}" for number, (path, _) in enumerate(WRONG)])
def test_a_field_that_cannot_be_used_is_named(path: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        wire_read.ask(request(**fields), Limits())

    assert [violation.field for violation in caught.value.violations] == [path]
    assert path in caught.value.message


def test_an_unknown_number_names_those_that_are_known() -> None:
    with pytest.raises(InvalidRequest, match=r"42 is not accepted; send one of ROLE_USER, ROLE_ASSISTANT"):
        wire_read.ask(request(messages=[turn({"text": "Hi"}, role=42)]), Limits())


def test_an_unset_role_is_named_as_such() -> None:
    with pytest.raises(InvalidRequest, match=r"ROLE_UNSPECIFIED is not accepted"):
        wire_read.ask(request(messages=[turn({"text": "Hi"}, role=0)]), Limits())


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("messages", {"messages": [turn()] * 3}),
        ("messages[0].parts", {"messages": [turn({}, {}, {})]}),
        ("tools", {"tools": [{}] * 3}),
        ("fallback_models", {"fallback_models": ["a"] * 9}),
        ("labels", {"labels": {str(number): "" for number in range(65)}}),
        ("sampling.stop_sequences", {"sampling": {"stop_sequences": ["a"] * 65}}),
        ("provider_options_json", {"provider_options_json": {str(number): "{}" for number in range(33)}}),
    ],
)
def test_more_than_the_limit_is_refused(path: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="at most") as caught:
        wire_read.ask(request(**fields), Limits(messages=2, parts_per_message=2, tools=2))

    assert caught.value.violations[0].field == path


def test_a_million_empty_messages_are_refused_before_they_are_decoded() -> None:
    sent = generation_pb2.GenerateRequest.FromString(b"\x12\x00" * 1_000_000)

    started = time.process_time()
    with pytest.raises(InvalidRequest, match="1000000 are too many"):
        wire_read.ask(sent, Limits())

    assert time.process_time() - started < 0.1
