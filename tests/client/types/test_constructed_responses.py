"""Responses and messages made in tests, as dicts and as mappings; short reprs of every type."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import pytest

import aimanager
from aimanager import (
    AIManager,
    AIResponse,
    Artifact,
    InvalidRequestError,
    Message,
    Model,
    ModelQuality,
    ProviderHealth,
    ProviderQuality,
    Restarted,
    RunResult,
    ToolCall,
    assistant,
    attachment,
    message_from_dict,
    message_to_dict,
    user,
)
from aimanager.types.metrics import MetricsRow, MetricsSummary
from aimanager.types.usage import Usage
from aimanager.v1 import content_pb2, generation_pb2, health_pb2, metrics_pb2, model_pb2, quality_pb2, usage_pb2
from tests.support.fake_gateway.messages import make_response
from tests.support.fake_gateway.server import FakeGateway

ARTIFACT = Artifact(content_pb2.Artifact(id="1", name="a.py", text="pass", mime_type="text/x-python"))


def test_format_specification_applies_to_the_text() -> None:
    response = AIResponse("Hi", "mock", "mock-large")

    assert f"{response:>4}|{RunResult((), (response,)):<4}|" == "  Hi|Hi  |"


def test_response_is_constructed_as_in_the_design_document() -> None:
    response = AIResponse(
        "Sunny.",
        "claude",
        "claude-haiku-5",
        usage={"input_tokens": 3, "output_tokens": 2},
        metadata={"request_id": "req-1", "finish_reason": "max_tokens"},
        artifacts=[ARTIFACT],
        reasoning="Hm.",
        tool_calls=[ToolCall.build("weather", {"city": "Rome"})],
        parsed={"sky": "blue"},
    )

    assert (response.content, response.text, str(response)) == ("Sunny.",) * 3
    assert (response.provider, response.model) == ("claude", "claude-haiku-5")
    assert (response.reasoning, response.finish_reason, response.metadata.request_id) == ("Hm.", "max_tokens", "req-1")
    assert (response.usage.total_tokens, response.usage.source) == (5, "reported")
    assert (response.tool_calls[0].arguments, response.parsed) == ({"city": "Rome"}, {"sky": "blue"})
    assert response.artifacts == (ARTIFACT,)
    assert AIResponse("Hi").usage == Usage()
    with pytest.raises(TypeError, match="cannot set 'latncy'"):
        AIResponse("Hi", metadata={"latncy": 1})


def test_usage_and_metadata_are_mappings(ai: AIManager) -> None:
    response = ai.request("Hi")

    assert (response.usage["input_tokens"], response.usage.get("total_tokens"), response.usage.get("x")) == (3, 5, None)
    assert dict(response.usage)["source"] == "reported"
    assert "input_tokens" in response.usage
    assert (response.metadata["model"], response.metadata.get("finish_reason")) == ("mock-large", "stop")
    with pytest.raises(KeyError):
        response.usage["tokens"]


def test_response_survives_json() -> None:
    proto = make_response(structured_output_json='{"a": 1}', artifacts=[ARTIFACT.proto])
    proto.message.parts[0].provider_state = b"\0\xff"
    response = AIResponse.from_proto(proto)

    fields = response.to_dict()
    restored = AIResponse.from_dict(json.loads(json.dumps(fields)))

    assert restored == response
    assert (fields["content"], fields["provider"], fields["model"]) == ("Hello.", "mock", "mock-large")
    assert (fields["finish_reason"], fields["usage"]["output_tokens"]) == ("stop", 2)
    assert (fields["cost"]["total_nanos"], fields["execution"]["latency"]) == (2_500_000, 1.5)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda response: pickle.loads(pickle.dumps(response))])
def test_response_can_be_copied_and_pickled(duplicate: Callable[[AIResponse], AIResponse]) -> None:
    response: AIResponse = AIResponse.from_proto(make_response(structured_output_json='{"a": 1}'), dict)

    same = duplicate(response)

    assert same == response
    assert same.parsed == {"a": 1}


def test_response_without_usage_survives_too() -> None:
    response = AIResponse("Hi", "mock", "m", tool_calls=[ToolCall.build("f")])

    assert AIResponse.from_dict(response.to_dict()) == response
    assert AIResponse.from_dict({"content": "Hi", "provider": "mock"}).content == "Hi"
    with pytest.raises(InvalidRequestError, match="not a GenerateResponse"):
        AIResponse.from_dict({"finish_reason": "done"})


@pytest.mark.parametrize(
    "message",
    [
        user("Hi"),
        assistant("Hello."),
        user("Look", attachment(b"\x89PNG\r\n\x1a\n")),
        Message(role=1, parts=[content_pb2.Part(text="Hi", provider_state=b"\xff")], provider="claude", model="m"),  # type: ignore[arg-type]
        Message(role=2, parts=[content_pb2.Part(tool_call=ToolCall.build("f", {"x": 1}).proto)]),  # type: ignore[arg-type]
    ],
)
def test_message_survives_json_and_is_a_prompt(fake: FakeGateway, ai: AIManager, message: Message) -> None:
    fields = json.loads(json.dumps(message_to_dict(message)))

    ai.request([fields, "And?"])

    assert message_from_dict(fields) == message
    assert fake.received[0].request.messages[0] == message


EXECUTION = generation_pb2.Execution(provider="a", model="m")
REPRS: dict[str, object] = {
    "Model(id='claude/a', aliases=('fast',), available=False)": Model(model_pb2.Model(id="claude/a", aliases=["fast"])),
    f"ToolCall(id='1', name='f', arguments={{\"t\": \"{'x' * 43}…)": ToolCall.build("f", {"t": "x" * 99}),
    "Artifact(id='1', name='a.py', mime_type='text/x-python')": ARTIFACT,
    "ProviderHealth(provider='a', status='UNKNOWN')": ProviderHealth(health_pb2.ProviderHealth(provider="a")),
    "MetricsRow(provider='a', requests_total=0, requests_error=0, tokens_total=0)": MetricsRow(
        metrics_pb2.MetricsRow(provider="a")
    ),
    "MetricsSummary(requests_total=0, requests_error=0, tokens_total=0, requests_in_flight=0)": MetricsSummary(
        metrics_pb2.GetMetricsSummaryResponse()
    ),
    "ModelQuality(model='m', sample_count=0)": ModelQuality(quality_pb2.ModelQuality(model="m")),
    "ProviderQuality(provider='a', sample_count=0)": ProviderQuality(quality_pb2.ProviderQuality(provider="a")),
    "Restarted(provider='a', model='m')": Restarted(generation_pb2.StreamRestarted(execution=EXECUTION)),
    "RunResult(response=AIResponse(provider='a', model='m', content='Hi'))": RunResult(
        (), (AIResponse("Hi", "a", "m"),)
    ),
}


def test_reprs_are_short() -> None:
    assert [repr(value) for value in REPRS.values()] == list(REPRS)


def test_no_repr_of_a_response_shows_protobuf(ai: AIManager) -> None:
    response = ai.request("Hi")

    for value in (response.metadata, response.usage, response.attempts, response.warnings, response):
        assert "\n" not in repr(value)


def test_usage_of_a_run_is_that_of_all_responses() -> None:
    priced = make_response()
    unknown = make_response(usage=usage_pb2.Usage(input_tokens=1, source=usage_pb2.USAGE_SOURCE_ESTIMATED))
    unknown.ClearField("cost")

    result = RunResult((), [AIResponse.from_proto(priced), AIResponse.from_proto(unknown)])

    assert (result.usage.input_tokens, result.usage.source, result.cost) == (4, "estimated", None)
    assert RunResult((), [AIResponse.from_proto(priced)] * 2).cost == 2 * AIResponse.from_proto(priced).cost  # type: ignore[operator]


def test_aliases_of_prompts_are_public() -> None:
    assert aimanager.Turn != aimanager.Prompt
