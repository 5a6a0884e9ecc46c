"""The Responses wire against aimock, end to end through the gRPC server."""

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
from tests.support.aimock import AimockServer, aimock, missing
from tests.support.gateway import served, settings_with

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
HOW = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
MODEL = "openai/gpt-6-luna"
WEATHER = generation_pb2.Tool(name="get_weather", input_schema_json='{"type":"object"}')


@pytest.fixture(scope="module")
def server() -> Iterator[AimockServer]:
    with aimock() as running:
        yield running


@pytest.fixture(scope="module")
def stub(server: AimockServer) -> Iterator[GenerationServiceStub]:
    openai = {"base_url": f"{server.url}/v1", "wire": "responses", "api_key": "sk-test"}
    patient = {"failure_threshold": 1000, "window_calls": 1000}
    settings = settings_with(providers={"openai": openai}, retry={"attempts": 1}, breaker=patient)
    with served(settings) as target, grpc.insecure_channel(target) as channel:
        yield GenerationServiceStub(channel)


def user(text: str, *parts: content_pb2.Part) -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_USER, parts=[*parts, content_pb2.Part(text=text)])


def request(*messages: content_pb2.Message, model: str = MODEL, **fields: Any) -> generation_pb2.GenerateRequest:
    return generation_pb2.GenerateRequest(model=model, messages=messages, **fields)


def answer(
    stub: GenerationServiceStub, asked: generation_pb2.GenerateRequest, streaming: bool
) -> generation_pb2.GenerateResponse:
    """The whole answer; of a stream its last event, which says what its deltas said."""
    if not streaming:
        return stub.Generate(asked)
    events = list(stub.StreamGenerate(generation_pb2.StreamGenerateRequest(request=asked)))
    last = events[-1].completed
    assert "".join(event.delta.text for event in events) == "".join(part.text for part in last.message.parts)
    return last


def reason_of(error: grpc.RpcError) -> str:
    (info,) = (row for row in rpc_status.from_call(error).details if row.Is(error_details_pb2.ErrorInfo.DESCRIPTOR))
    found = error_details_pb2.ErrorInfo()
    info.Unpack(found)
    return str(found.reason)


@HOW
def test_an_answer_comes_whole_with_its_usage(stub: GenerationServiceStub, streaming: bool) -> None:
    said = answer(stub, request(user("say hello")), streaming)

    assert [part.text for part in said.message.parts if part.text] == ["Hello from aimock, and good day."]
    assert said.finish_reason == generation_pb2.FINISH_REASON_STOP
    assert (said.usage.input_tokens, said.usage.output_tokens) == (11, 7)
    assert said.usage.source == usage_pb2.USAGE_SOURCE_REPORTED


@HOW
def test_reasoning_comes_before_the_text_and_can_be_sent_back(stub: GenerationServiceStub, streaming: bool) -> None:
    asked = request(user("ponder"), reasoning=generation_pb2.ReasoningOptions(include=True))

    said = answer(stub, asked, streaming)

    reasoning, text = said.message.parts
    item = json.loads(reasoning.provider_state)
    assert (reasoning.reasoning.text, text.text) == ("Six times nine.", "Forty-two.")
    assert (item["type"], bool(item["encrypted_content"])) == ("reasoning", True)


@HOW
def test_parallel_calls_come_apart_and_are_answered(stub: GenerationServiceStub, streaming: bool) -> None:
    question = user("parallel weather")
    first = answer(stub, request(question, tools=[WEATHER]), streaming)

    calls = [part.tool_call for part in first.message.parts if part.HasField("tool_call")]
    assert [call.arguments_json for call in calls] == ['{"city":"Rome"}', '{"city":"Oslo"}']
    assert len({call.id for call in calls}) == 2
    assert first.finish_reason == generation_pb2.FINISH_REASON_TOOL_CALLS

    results = (content_pb2.ToolResult(tool_call_id=call.id, name=call.name, output="sun") for call in calls)
    turn = user("say hello", *(content_pb2.Part(tool_result=result) for result in results))
    second = answer(stub, request(question, first.message, turn, tools=[WEATHER]), streaming)
    assert second.message.parts[-1].text == "Hello from aimock, and good day."


@HOW
@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("limit the rate", grpc.StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_RATE_LIMITED"),
        ("be overloaded", grpc.StatusCode.UNAVAILABLE, "PROVIDER_OVERLOADED"),
        ("out of service", grpc.StatusCode.UNAVAILABLE, "PROVIDER_OVERLOADED"),
        ("fail plainly", grpc.StatusCode.INVALID_ARGUMENT, "PROVIDER_REJECTED_REQUEST"),
    ],
)
def test_a_refusal_is_told_apart(
    stub: GenerationServiceStub, streaming: bool, text: str, code: grpc.StatusCode, reason: str
) -> None:
    # A model whose provider asks to wait is not asked again meanwhile, so each question has one of its own.
    model = ("openai/gpt-6.2-sol", "openai/gpt-5.5-pro")[streaming] if text == "limit the rate" else MODEL

    with pytest.raises(grpc.RpcError) as caught:
        answer(stub, request(user(text), model=model), streaming)

    assert (caught.value.code(), reason_of(caught.value)) == (code, reason)


def test_a_stream_that_breaks_off_is_interrupted(stub: GenerationServiceStub) -> None:
    stream = stub.StreamGenerate(generation_pb2.StreamGenerateRequest(request=request(user("fall to pieces"))))
    seen: list[generation_pb2.StreamGenerateResponse] = []

    with pytest.raises(grpc.RpcError) as caught:
        seen.extend(iter(stream))

    assert reason_of(caught.value) == "STREAM_INTERRUPTED"
    assert "".join(event.delta.text for event in seen).startswith("This ans")
    assert not any(event.HasField("completed") for event in seen)


def test_what_we_sent_is_what_it_got(server: AimockServer, stub: GenerationServiceStub) -> None:
    stub.Generate(request(user("say hello"), system_instruction="Be brief."))

    last = server.requests()[-1]
    assert last["path"] == "/v1/responses"
    assert "authorization" in last["headers"]
    assert last["body"]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "say hello"},
    ]
