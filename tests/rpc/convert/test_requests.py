"""Conversion of requests from protobuf, and the field paths of its errors."""

from __future__ import annotations

import time
from typing import Any

import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager_server.config.settings import Limits
from aimanager_server.core.cache_policy import CacheMode, CachePolicy
from aimanager_server.core.content import (
    Attachment,
    Effort,
    Message,
    PromptOptimization,
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
from aimanager_server.rpc.convert.requests import parse_generate_request, parse_interruption_policy
from aimanager_server.validation.violations import raise_violations

USER = content_pb2.ROLE_USER


def request(**fields: Any) -> generation_pb2.GenerateRequest:
    """A valid request, with these fields replaced."""
    return generation_pb2.GenerateRequest(**{"messages": [message({"text": "Hi"})], **fields})


def message(*parts: dict[str, Any], role: int = USER) -> dict[str, Any]:
    """One message with these parts."""
    return {"role": role, "parts": list(parts)}


def error_of(fields: dict[str, Any], limits: Limits | None = None) -> InvalidRequest:
    """The error of a request with these fields."""
    with pytest.raises(InvalidRequest) as caught:
        raise_violations((), parse_generate_request(request(**fields), limits or Limits()).violations)
    return caught.value


def test_every_field_of_a_request_is_converted() -> None:
    sent = request(
        model="claude/latest",
        system_instruction="Be brief",
        messages=[
            message({"text": "Hi", "provider_state": b"a"}, {"attachment": {"mime_type": "image/png", "data": b"png"}}),
            {
                "role": content_pb2.ROLE_ASSISTANT,
                "provider": "claude",
                "model": "m",
                "parts": [
                    {"reasoning": {"text": "Hm", "redacted": True}, "provider_state": b"b"},
                    {"tool_call": {"id": "t", "name": "look", "arguments_json": "{}"}},
                ],
            },
            message(
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
        stream_timeouts={"first_token_timeout": {"seconds": 2, "nanos": 500_000_000}, "idle_timeout": {"seconds": -1}},
        idempotency_key="once",
        labels={"team": "a"},
        provider_options_json={"claude": '{"metadata": {"user_id": "u"}}'},
        extract_artifacts=True,
        end_user_id="u-1",
        cache_policy={"mode": generation_pb2.CACHE_MODE_USE, "max_age": {"seconds": 60}},
        optimizations=[generation_pb2.PROMPT_OPTIMIZATION_HISTORY, generation_pb2.PROMPT_OPTIMIZATION_UNSPECIFIED],
    )

    params = parse_generate_request(sent, Limits(), restart_on_interruption=True)

    assert params == GenerateParams(
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
        extract_artifacts=True,
        end_user_id="u-1",
        cache_policy=CachePolicy(CacheMode.USE, 60.0),
        optimizations=frozenset({PromptOptimization.HISTORY}),
    )


@pytest.mark.parametrize(
    ("sent", "policy"),
    [
        ({}, CachePolicy()),
        ({"max_age": {"nanos": 500_000_000}}, CachePolicy(CacheMode.USE, 0.5)),
        ({"mode": generation_pb2.CACHE_MODE_REFRESH}, CachePolicy(CacheMode.REFRESH)),
        ({"mode": generation_pb2.CACHE_MODE_OFF}, CachePolicy(CacheMode.OFF)),
    ],
)
def test_a_maximum_age_without_a_mode_uses_the_cache(sent: dict[str, Any], policy: CachePolicy) -> None:
    assert parse_generate_request(request(cache_policy=sent), Limits()).cache_policy == policy


def test_an_unknown_optimization_is_rejected() -> None:
    assert [violation.field for violation in error_of({"optimizations": [2, 9]}).violations] == ["optimizations[1]"]
    assert [violation.field for violation in error_of({"optimizations": [1] * 17}).violations] == ["optimizations"]


def test_unset_fields_keep_their_defaults() -> None:
    params = parse_generate_request(request(), Limits())

    assert params == GenerateParams(messages=(Message(Role.USER, (Text("Hi"),)),))


def test_an_empty_duration_is_zero_seconds_not_unset() -> None:
    params = parse_generate_request(request(stream_timeouts={"first_token_timeout": {}}), Limits())

    assert (params.first_token_timeout, params.idle_timeout) == (0.0, None)


@pytest.mark.parametrize(("policy", "may_restart"), [("UNSPECIFIED", False), ("FAIL", False), ("RESTART", True)])
def test_the_interruption_policy_decides_whether_a_stream_may_restart(policy: str, may_restart: bool) -> None:
    number = generation_pb2.InterruptionPolicy.Value(f"INTERRUPTION_POLICY_{policy}")

    assert parse_interruption_policy(number) is may_restart


def test_an_unknown_interruption_policy_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match=r"on_interruption must be one of INTERRUPTION_POLICY_FAIL") as caught:
        parse_interruption_policy(9)

    assert [violation.field for violation in caught.value.violations] == ["on_interruption"]


def test_a_tool_is_chosen_by_name() -> None:
    params = parse_generate_request(request(tool_choice={"tool_name": "look"}), Limits())

    assert params.tool_choice == ToolChoice(tool_name="look")


NUL = "a\0b"
INVALID: list[tuple[str, dict[str, Any]]] = [
    ("messages[0].role", {"messages": [message({"text": "Hi"}, role=0)]}),
    ("messages[1].role", {"messages": [message({"text": "Hi"}), message(role=9)]}),
    ("messages[0].parts[1]", {"messages": [message({"text": "Hi"}, {})]}),
    ("messages[0].parts[0].text", {"messages": [message({"text": NUL})]}),
    ("messages[0].parts[0].reasoning.text", {"messages": [message({"reasoning": {"text": NUL}})]}),
    ("messages[0].parts[0].attachment", {"messages": [message({"attachment": {"mime_type": "image/png"}})]}),
    ("messages[0].parts[0].attachment.uri", {"messages": [message({"attachment": {"uri": NUL}})]}),
    (
        "messages[0].parts[0].attachment.filename",
        {"messages": [message({"attachment": {"filename": NUL, "data": b""}})]},
    ),
    ("messages[0].parts[0].tool_call.name", {"messages": [message({"tool_call": {"name": NUL}})]}),
    ("messages[0].parts[0].tool_result.output", {"messages": [message({"tool_result": {"output": NUL}})]}),
    (
        "messages[0].parts[0].tool_result.attachments[1]",
        {"messages": [message({"tool_result": {"attachments": [{"uri": "https://a.test"}, {}]}})]},
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


def test_an_invalid_field_is_named_in_the_message_and_the_violation() -> None:
    errors = [(path, error_of(fields)) for path, fields in INVALID]

    wrong = {
        path: error.message
        for path, error in errors
        if [violation.field for violation in error.violations] != [path] or path not in error.message
    }
    assert wrong == {}


def test_an_unknown_enum_number_is_rejected_with_the_accepted_names() -> None:
    error = error_of({"messages": [message({"text": "Hi"}, role=42)]})

    assert error.message == "messages[0].role must be one of ROLE_USER, ROLE_ASSISTANT, got 42."


def test_every_malformed_field_is_reported_up_to_one_more_than_is_listed() -> None:
    invalid = {"messages": [message({"text": "Hi"}, role=42)], "model": "a\0", "reasoning": {"effort": 99}}
    fields = [violation.field for violation in error_of(invalid).violations]
    assert fields == ["messages[0].role", "model", "reasoning.effort"]

    many = error_of({"messages": [message({"text": "a\0"})] * 1000})
    assert (len(many.violations), many.message[:32]) == (16, "More than 16 fields are invalid.")


def test_an_unset_role_is_shown_by_its_name() -> None:
    assert error_of({"messages": [message({"text": "Hi"}, role=0)]}).message.endswith("got ROLE_UNSPECIFIED.")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("messages", {"messages": [message()] * 3}),
        ("messages[0].parts", {"messages": [message({}, {}, {})]}),
        ("tools", {"tools": [{}] * 3}),
        ("fallback_models", {"fallback_models": ["a"] * 9}),
        ("labels", {"labels": {str(number): "" for number in range(65)}}),
        ("sampling.stop_sequences", {"sampling": {"stop_sequences": ["a"] * 65}}),
        ("provider_options_json", {"provider_options_json": {str(number): "{}" for number in range(33)}}),
    ],
)
def test_more_items_than_the_limit_are_rejected(path: str, fields: dict[str, Any]) -> None:
    error = error_of(fields, Limits(max_messages=2, max_parts_per_message=2, max_tools=2))

    assert error.violations[0].field == path
    assert "must have at most" in error.message


def test_a_million_empty_messages_are_rejected_before_they_are_converted() -> None:
    large = generation_pb2.GenerateRequest.FromString(b"\x12\x00" * 1_000_000)

    started = time.process_time()
    with pytest.raises(InvalidRequest, match="got 1000000"):
        parse_generate_request(large, Limits())

    assert time.process_time() - started < 0.5
