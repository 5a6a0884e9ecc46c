"""The Responses API through the whole server: which models use it, and what is sent back to the provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.chat_completions import recorded
from tests.support.gateway import settings_with, started_gateway
from tests.support.http_servers.recording import RecordingUpstream, recording_upstream
from tests.support.responses import recorded_body, recorded_stream

TOOL = generation_pb2.Tool(name="get_weather")


def respond(path: str, body: dict[str, Any]) -> bytes:
    if path.endswith("/chat/completions"):
        return recorded("openai/text.sse" if body.get("stream") else "openai/text.json")
    name = "parallel_tools" if "tools" in body else "text"
    return recorded_stream(name) if body.get("stream") else recorded_body(name)


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordingUpstream]:
    with recording_upstream(respond) as server:
        yield server


@pytest.fixture(scope="module")
def stub(upstream: RecordingUpstream) -> Iterator[GenerationServiceStub]:
    key = "sk-test-0123456789"
    openai = {"base_url": f"{upstream.url}/v1", "wire": "responses", "api_key": key, "models": ["gpt-99"]}
    lab = {"base_url": f"{upstream.url}/lab", "wire": "responses", "api_key_env": "", "models": ["gpt-4.1"]}
    settings = settings_with(providers={"openai": openai, "lab": lab})
    with started_gateway(settings) as target, grpc.insecure_channel(target) as channel:
        yield GenerationServiceStub(channel)


def user(*parts: content_pb2.Part) -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_USER, parts=parts)


def generate_request(model: str, *messages: content_pb2.Message, **fields: Any) -> generation_pb2.GenerateRequest:
    turns = messages or (user(content_pb2.Part(text="Hi")),)
    return generation_pb2.GenerateRequest(model=model, messages=turns, **fields)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("openai/gpt-6.2-sol", "/v1/responses"),
        ("openai/gpt-5.5-pro", "/v1/responses"),
        ("openai/gpt-5-2025-08-07", "/v1/responses"),
        ("openai/gpt-99", "/v1/responses"),
        ("openai/gpt-4.1", "/v1/chat/completions"),
        ("openai/o3", "/v1/chat/completions"),
        ("lab/gpt-4.1", "/lab/responses"),
    ],
)
def test_model_determines_the_api(
    stub: GenerationServiceStub, upstream: RecordingUpstream, model: str, path: str
) -> None:
    response = stub.Generate(generate_request(model))

    assert upstream.requests[-1][0] == path
    assert response.message.parts[0].text.startswith("Grüße aus Rom")


@pytest.mark.parametrize("streaming", [False, True], ids=["unary", "stream"])
def test_provider_state_is_sent_back_unchanged(
    stub: GenerationServiceStub, upstream: RecordingUpstream, streaming: bool
) -> None:
    weather = user(content_pb2.Part(text="Weather?"))
    request = generate_request("openai/gpt-6.2-sol", weather, tools=[TOOL])
    if streaming:
        events = list(stub.StreamGenerate(generation_pb2.StreamGenerateRequest(request=request)))
        first = events[-1].completed
    else:
        first = stub.Generate(request)
    calls = [part.tool_call for part in first.message.parts if part.HasField("tool_call")]
    results = user(
        *(
            content_pb2.Part(tool_result=content_pb2.ToolResult(tool_call_id=call.id, name=call.name, output="sun"))
            for call in calls
        )
    )

    stub.Generate(generate_request("openai/gpt-6.2-sol", weather, first.message, results, tools=[TOOL]))

    received = json.loads(recorded_body("parallel_tools"))["output"]
    sent_items = upstream.requests[-1][1]["input"][1:]
    assert [item.get("type", "message") for item in sent_items[:5]] == [item["type"] for item in received]
    for sent, received_item in zip(sent_items[:5], received, strict=True):
        if received_item["type"] == "reasoning":
            assert sent == received_item
        elif received_item["type"] == "message":
            text = received_item["content"][0]["text"]
            assert (sent["content"], sent["phase"]) == (text, received_item["phase"])
        else:
            assert {**sent, "id": received_item["id"], "status": "completed"} == received_item
    assert [(item["type"], item["call_id"]) for item in sent_items[5:]] == [
        ("function_call_output", "call_Rm1"),
        ("function_call_output", "call_Zh2"),
    ]


def test_provider_state_is_not_sent_to_another_model(stub: GenerationServiceStub, upstream: RecordingUpstream) -> None:
    weather = user(content_pb2.Part(text="Weather?"))
    first = stub.Generate(generate_request("openai/gpt-6.2-sol", weather, tools=[TOOL]))
    del first.message.parts[2:]

    stub.Generate(generate_request("openai/gpt-6-luna", weather, first.message, weather))

    assert [item["role"] for item in upstream.requests[-1][1]["input"]] == ["user", "assistant", "user"]
    assert "phase" not in upstream.requests[-1][1]["input"][1]


def test_unsupported_options_are_reported_as_warnings(stub: GenerationServiceStub, upstream: RecordingUpstream) -> None:
    sampling = generation_pb2.SamplingOptions(max_output_tokens=5, seed=7, stop_sequences=["END"])

    response = stub.Generate(generate_request("openai/gpt-6.2-sol", sampling=sampling))

    assert {warning.field for warning in response.warnings} == {
        "sampling.max_output_tokens",
        "sampling.seed",
        "sampling.stop_sequences",
    }
    assert upstream.requests[-1][1]["max_output_tokens"] == 16


@pytest.mark.parametrize("streaming", [False, True], ids=["unary", "stream"])
def test_settings_that_the_wire_changes_are_reported_as_warnings(
    stub: GenerationServiceStub, upstream: RecordingUpstream, streaming: bool
) -> None:
    request = generate_request("openai/gpt-99", reasoning=generation_pb2.ReasoningOptions(budget_tokens=20_000))
    if streaming:
        response = list(stub.StreamGenerate(generation_pb2.StreamGenerateRequest(request=request)))[-1].completed
    else:
        response = stub.Generate(request)

    assert [(warning.field, warning.message) for warning in response.warnings] == [
        ("reasoning.budget_tokens", "The Responses API has no reasoning budget; effort high is used instead.")
    ]
    assert upstream.requests[-1][1]["reasoning"] == {"effort": "high"}
