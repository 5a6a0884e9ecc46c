"""The Responses API against aimock, end to end through the gRPC server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.aimock import AimockServer, aimock, reason_to_skip
from tests.support.gateway import settings_with, started_gateway

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())
BOTH_FORMS = pytest.mark.parametrize("streaming", [False, True], ids=["unary", "stream"])
MODEL = "openai/gpt-6-luna"
WEATHER = generation_pb2.Tool(name="get_weather", input_schema_json='{"type":"object"}')


@pytest.fixture(scope="module")
def server() -> Iterator[AimockServer]:
    with aimock() as running:
        yield running


@pytest.fixture(scope="module")
def stub(server: AimockServer) -> Iterator[GenerationServiceStub]:
    openai = {"base_url": f"{server.url}/v1", "wire": "responses", "api_key": "sk-test"}
    circuit_breaker = {"failure_threshold": 1000, "minimum_calls": 1000}
    settings = settings_with(providers={"openai": openai}, retry={"max_attempts": 1}, circuit_breaker=circuit_breaker)
    with started_gateway(settings) as target, grpc.insecure_channel(target) as channel:
        yield GenerationServiceStub(channel)


def user(text: str, *parts: content_pb2.Part) -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_USER, parts=[*parts, content_pb2.Part(text=text)])


def generate_request(
    *messages: content_pb2.Message, model: str = MODEL, **fields: Any
) -> generation_pb2.GenerateRequest:
    return generation_pb2.GenerateRequest(model=model, messages=messages, **fields)


def generate(
    stub: GenerationServiceStub, request: generation_pb2.GenerateRequest, streaming: bool
) -> generation_pb2.GenerateResponse:
    """Return the response; of a stream its last event, whose text must equal the deltas."""
    if not streaming:
        return stub.Generate(request)
    events = list(stub.StreamGenerate(generation_pb2.StreamGenerateRequest(request=request)))
    last = events[-1].completed
    assert "".join(event.delta.text for event in events) == "".join(part.text for part in last.message.parts)
    return last


def reason_of(error: grpc.RpcError) -> str:
    (info,) = (row for row in rpc_status.from_call(error).details if row.Is(error_details_pb2.ErrorInfo.DESCRIPTOR))
    found = error_details_pb2.ErrorInfo()
    info.Unpack(found)
    return str(found.reason)


@BOTH_FORMS
def test_text_response_has_usage(stub: GenerationServiceStub, streaming: bool) -> None:
    response = generate(stub, generate_request(user("say hello")), streaming)

    assert [part.text for part in response.message.parts if part.text] == ["Hello from aimock, and good day."]
    assert response.finish_reason == generation_pb2.FINISH_REASON_STOP
    assert (response.usage.input_tokens, response.usage.output_tokens) == (11, 7)
    assert response.usage.source == usage_pb2.USAGE_SOURCE_REPORTED


@BOTH_FORMS
def test_reasoning_precedes_the_text_and_has_state(stub: GenerationServiceStub, streaming: bool) -> None:
    request = generate_request(user("ponder"), reasoning=generation_pb2.ReasoningOptions(include=True))

    response = generate(stub, request, streaming)

    reasoning, text = response.message.parts
    item = json.loads(reasoning.provider_state)
    assert (reasoning.reasoning.text, text.text) == ("Six times nine.", "Forty-two.")
    assert (item["type"], bool(item["encrypted_content"])) == ("reasoning", True)


@BOTH_FORMS
def test_parallel_tool_calls_make_the_round_trip(stub: GenerationServiceStub, streaming: bool) -> None:
    question = user("parallel weather")
    first = generate(stub, generate_request(question, tools=[WEATHER]), streaming)

    calls = [part.tool_call for part in first.message.parts if part.HasField("tool_call")]
    assert [call.arguments_json for call in calls] == ['{"city":"Rome"}', '{"city":"Oslo"}']
    assert len({call.id for call in calls}) == 2
    assert first.finish_reason == generation_pb2.FINISH_REASON_TOOL_CALLS

    results = (content_pb2.ToolResult(tool_call_id=call.id, name=call.name, output="sun") for call in calls)
    turn = user("say hello", *(content_pb2.Part(tool_result=result) for result in results))
    second = generate(stub, generate_request(question, first.message, turn, tools=[WEATHER]), streaming)
    assert second.message.parts[-1].text == "Hello from aimock, and good day."


@BOTH_FORMS
@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("limit the rate", grpc.StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_RATE_LIMITED"),
        ("be overloaded", grpc.StatusCode.UNAVAILABLE, "PROVIDER_OVERLOADED"),
        ("out of service", grpc.StatusCode.UNAVAILABLE, "PROVIDER_OVERLOADED"),
        ("fail plainly", grpc.StatusCode.INVALID_ARGUMENT, "PROVIDER_REJECTED_REQUEST"),
    ],
)
def test_errors_are_mapped(
    stub: GenerationServiceStub, streaming: bool, text: str, code: grpc.StatusCode, reason: str
) -> None:
    # A rate limit blocks its model for a while, so each form uses another model.
    model = ("openai/gpt-6.2-sol", "openai/gpt-5.5-pro")[streaming] if text == "limit the rate" else MODEL

    with pytest.raises(grpc.RpcError) as caught:
        generate(stub, generate_request(user(text), model=model), streaming)

    assert (caught.value.code(), reason_of(caught.value)) == (code, reason)


def test_truncated_stream_is_interrupted(stub: GenerationServiceStub) -> None:
    stream = stub.StreamGenerate(generation_pb2.StreamGenerateRequest(request=generate_request(user("fall to pieces"))))
    seen: list[generation_pb2.StreamGenerateResponse] = []

    with pytest.raises(grpc.RpcError) as caught:
        seen.extend(iter(stream))

    assert reason_of(caught.value) == "STREAM_INTERRUPTED"
    assert "".join(event.delta.text for event in seen).startswith("This ans")
    assert not any(event.HasField("completed") for event in seen)


def test_request_arrives_as_sent(server: AimockServer, stub: GenerationServiceStub) -> None:
    stub.Generate(generate_request(user("say hello"), system_instruction="Be brief."))

    last = server.requests()[-1]
    assert last["path"] == "/v1/responses"
    assert "authorization" in last["headers"]
    assert last["body"]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "say hello"},
    ]
