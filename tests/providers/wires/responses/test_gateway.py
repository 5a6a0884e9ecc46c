"""The Responses wire through the whole server: which models are asked in it, and what comes back to the provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.chat_completions import fixture
from tests.support.gateway import served, settings_with
from tests.support.http_servers.recording import RecordingUpstream, recording
from tests.support.responses import body_of, stream_of

TOOL = generation_pb2.Tool(name="get_weather")


def respond(path: str, asked: dict[str, Any]) -> bytes:
    if path.endswith("/chat/completions"):
        return fixture("openai/text.sse" if asked.get("stream") else "openai/text.json")
    name = "parallel_tools" if "tools" in asked else "text"
    return stream_of(name) if asked.get("stream") else body_of(name)


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordingUpstream]:
    with recording(respond) as server:
        yield server


@pytest.fixture(scope="module")
def stub(upstream: RecordingUpstream) -> Iterator[GenerationServiceStub]:
    openai = {"base_url": f"{upstream.url}/v1", "wire": "responses", "api_key": "sk-test", "models": ["gpt-99"]}
    lab = {"base_url": f"{upstream.url}/lab", "wire": "responses", "key_variable": "", "models": ["gpt-4.1"]}
    settings = settings_with(providers={"openai": openai, "lab": lab})
    with served(settings) as target, grpc.insecure_channel(target) as channel:
        yield GenerationServiceStub(channel)


def user(*parts: content_pb2.Part) -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_USER, parts=parts)


def asking(model: str, *messages: content_pb2.Message, **fields: Any) -> generation_pb2.GenerateRequest:
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
def test_a_model_is_asked_in_its_wire(
    stub: GenerationServiceStub, upstream: RecordingUpstream, model: str, path: str
) -> None:
    answer = stub.Generate(asking(model))

    assert upstream.requests[-1][0] == path
    assert answer.message.parts[0].text.startswith("Grüße aus Rom")


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_what_the_model_remembers_goes_back_byte_for_byte(
    stub: GenerationServiceStub, upstream: RecordingUpstream, streaming: bool
) -> None:
    weather = user(content_pb2.Part(text="Weather?"))
    request = asking("openai/gpt-6.2-sol", weather, tools=[TOOL])
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

    stub.Generate(asking("openai/gpt-6.2-sol", weather, first.message, results, tools=[TOOL]))

    received = json.loads(body_of("parallel_tools"))["output"]
    again = upstream.requests[-1][1]["input"][1:]
    assert [item["type"] for item in again[:5]] == [item["type"] for item in received]
    for sent, item in zip(again[:5], received, strict=True):
        if item["type"] == "reasoning":
            assert sent == item
        elif item["type"] == "message":
            assert (sent["content"][0]["text"], sent["phase"]) == (item["content"][0]["text"], item["phase"])
        else:
            assert {**sent, "id": item["id"], "status": "completed"} == item
    assert [(item["type"], item["call_id"]) for item in again[5:]] == [
        ("function_call_output", "call_Rm1"),
        ("function_call_output", "call_Zh2"),
    ]


def test_another_model_is_not_told_what_this_one_remembers(
    stub: GenerationServiceStub, upstream: RecordingUpstream
) -> None:
    weather = user(content_pb2.Part(text="Weather?"))
    first = stub.Generate(asking("openai/gpt-6.2-sol", weather, tools=[TOOL]))
    del first.message.parts[2:]

    stub.Generate(asking("openai/gpt-6-luna", weather, first.message, weather))

    assert [item.get("type") for item in upstream.requests[-1][1]["input"]] == [None, "message", None]
    assert "phase" not in upstream.requests[-1][1]["input"][1]


def test_what_the_wire_cannot_say_is_told(stub: GenerationServiceStub, upstream: RecordingUpstream) -> None:
    sampling = generation_pb2.SamplingOptions(max_output_tokens=5, seed=7, stop_sequences=["END"])

    answer = stub.Generate(asking("openai/gpt-6.2-sol", sampling=sampling))

    assert {warning.field for warning in answer.warnings} == {
        "sampling.max_output_tokens",
        "sampling.seed",
        "sampling.stop_sequences",
    }
    assert upstream.requests[-1][1]["max_output_tokens"] == 16
