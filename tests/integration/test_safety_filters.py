"""Safety filters end to end: no operation sends to a provider what is filtered, and callers learn what was."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from aimanager.v1 import content_pb2, generation_pb2, model_pb2
from aimanager.v1.conversation_pb2 import CompactConversationRequest
from aimanager.v1.embedding_pb2 import EmbedRequest
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from aimanager_server.config.settings import Settings
from tests.integration.test_conversations import Client, user
from tests.support.gateway import settings_with, started_gateway
from tests.support.http_servers.recording import RecordingUpstream, recording_upstream
from tests.support.rpc_errors import RpcFailure
from tests.support.rpc_operations import sync_failure_of
from tests.support.tokens import bearer, callers

EMAIL, CARD, TOKEN = "ada.lovelace@example.com", "4111 1111 1111 1111", "ghp_" + "a1B2" * 9
TEXT = f"Write to {EMAIL}, charge {CARD} and push with {TOKEN}."
MASKED = "Write to [EMAIL_1], charge [CARD_1] and push with [SECRET_1]."
INPUT = {"emails": "mask", "cards": "mask", "secrets": "mask"}
GROQ, OPENAI = "groq/openai/gpt-oss-120b", "openai/gpt-6.2-sol"
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def respond(path: str, body: dict[str, Any]) -> bytes:
    """Answer as the providers do whose wires are tested, with the text that is filtered unless they request JSON."""
    answer = "{}" if "json" in json.dumps(body).replace("input_schema_json", "").lower() else TEXT
    if path.endswith("count_tokens"):
        return b'{"input_tokens": 9}'
    if path.endswith("/embeddings"):
        vectors = [{"index": index, "embedding": [1.0]} for index, _ in enumerate(body["input"])]
        return json.dumps({"data": vectors, "usage": {"prompt_tokens": 3, "total_tokens": 3}}).encode()
    if path.endswith("/compact"):
        item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "opaque"}
        return json.dumps({"id": "resp_1", "object": "response.compaction", "output": [item]}).encode()
    if path.endswith("/responses"):
        content = [{"type": "output_text", "text": answer, "annotations": []}]
        output = [{"type": "message", "role": "assistant", "content": content}]
        return json.dumps({"status": "completed", "output": output}).encode()
    if body.get("stream"):
        pieces = [answer[start : start + 7] for start in range(0, len(answer), 7)]
        chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": USAGE}]
        return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    message = {"role": "assistant", "content": answer}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}).encode()


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordingUpstream]:
    with recording_upstream(respond) as started:
        yield started


def settings_of(upstream: RecordingUpstream, **filters: Any) -> Settings:
    providers = {
        "openai": {"base_url": upstream.url, "api_key": "sk-canary-0123456789", "wire": "responses"},
        "claude": {"base_url": upstream.url, "api_key": "sk-canary-0123456789"},
        "groq": {"base_url": upstream.url, "api_key": "sk-canary-0123456789"},
    }
    return settings_with(providers=providers, callers=callers("alice", "bob"), safety_filters=filters)


@contextmanager
def channel_to(settings: Settings) -> Iterator[grpc.Channel]:
    with started_gateway(settings) as target, grpc.insecure_channel(target) as channel:
        yield channel


def request(text: str = TEXT, **fields: Any) -> generation_pb2.GenerateRequest:
    return generation_pb2.GenerateRequest(**{"model": GROQ, "messages": [user(text)], **fields})


def call_with_everything() -> generation_pb2.GenerateRequest:
    """Return a request with something to mask in everything that is sent."""
    arguments = json.dumps({"to": EMAIL, "card": int(CARD.replace(" ", "")), EMAIL: [json.dumps({"token": TOKEN})]})
    call = {"tool_call": {"id": "call_1", "name": "pay", "arguments_json": arguments}}
    assistant = {"role": "ROLE_ASSISTANT", "parts": [{"text": TEXT}, call]}
    file = {"mime_type": "text/plain", "filename": f"{EMAIL}.txt", "data": base64.b64encode(TEXT.encode()).decode()}
    result = {"tool_call_id": "call_1", "name": "pay", "output": json.dumps({"said": TEXT}), "attachments": [file]}
    last = {"role": "ROLE_USER", "parts": [{"tool_result": result}, {"attachment": file}, {"text": TEXT}]}
    messages = [json_format.ParseDict(each, content_pb2.Message()) for each in (assistant, last)]
    schema = json.dumps({"type": "object", "description": TEXT})
    return request(
        system_instruction=TEXT,
        messages=[user(TEXT), *messages],
        tools=[{"name": "pay", "description": TEXT, "input_schema_json": schema}],
        sampling={"stop_sequences": [EMAIL]},
        output_format={"json_schema": {"name": "answer", "schema_json": schema}},
    )


def without_secrets(upstream: RecordingUpstream) -> list[str]:
    """Return the bodies that the provider received, which contain nothing that is filtered."""
    bodies = [json.dumps(body) for _, body in upstream.requests]
    for body in bodies:
        for secret in (EMAIL, CARD, CARD.replace(" ", ""), TOKEN):
            assert secret not in body
    return bodies


def test_texts_of_all_sizes_are_filtered_in_turn(upstream: RecordingUpstream) -> None:
    upstream.requests.clear()
    with channel_to(settings_of(upstream, input=INPUT)) as channel:
        alice = Client(channel)
        for size in (40_000, 10_000, 20_000, 40_000, 30_000, 10_000):
            text = TEXT.rjust(size)
            alice.generation.Generate(request(text), metadata=bearer("alice"), timeout=20)

    assert len(without_secrets(upstream)) == 6


def test_no_operation_sends_to_a_provider_what_is_filtered(upstream: RecordingUpstream) -> None:
    upstream.requests.clear()
    with channel_to(settings_of(upstream, input=INPUT)) as channel:
        alice, metadata = Client(channel), bearer("alice")
        for model in (GROQ, OPENAI):
            everything = call_with_everything()
            everything.model = model
            assert alice.generation.Generate(everything, metadata=metadata).structured_output_json == "{}"
        list(
            alice.generation.StreamGenerate(generation_pb2.StreamGenerateRequest(request=request()), metadata=metadata)
        )
        count = model_pb2.CountTokensRequest(request=request(model="claude/latest"))
        assert ModelServiceStub(channel).CountTokens(count, metadata=metadata).input_tokens == 9
        embed = EmbedRequest(model="openai/text-embedding-3-small", inputs=[TEXT, "plain", EMAIL])
        assert len(EmbeddingServiceStub(channel).Embed(embed, metadata=metadata).embeddings) == 3
        conversation = alice.create(model=OPENAI, system_instruction=TEXT)
        for _ in range(3):
            alice.ask(conversation.id, TEXT, model=OPENAI)
        compact = CompactConversationRequest(conversation_id=conversation.id, keep_turns=1, native=True)
        assert not alice.call("CompactConversation", compact).warnings

    bodies = without_secrets(upstream)
    paths = [path for path, _ in upstream.requests]
    for operation in ("/chat/completions", "/responses", "/responses/compact", "/embeddings", "/count_tokens"):
        assert any(path.endswith(operation) for path in paths), operation
    assert all("[EMAIL_" in body for body in bodies)


def test_equal_values_have_equal_placeholders_and_warnings_name_the_fields(upstream: RecordingUpstream) -> None:
    upstream.requests.clear()
    with channel_to(settings_of(upstream, input=INPUT)) as channel:
        messages = [user(TEXT), user(f"Again {EMAIL} and bob@example.com")]
        response = Client(channel).generation.Generate(request(messages=messages), metadata=bearer("alice"))

    sent = upstream.requests[-1][1]["messages"]
    assert [message["content"] for message in sent] == [MASKED, "Again [EMAIL_1] and [EMAIL_2]"]
    assert [(warning.field, warning.message) for warning in response.warnings] == [
        ("messages[0]", "The safety filters masked 1 × emails, 1 × cards, 1 × secrets."),
        ("messages[1]", "The safety filters masked 2 × emails."),
    ]
    assert response.message.parts[0].text == TEXT


def blocked(channel: grpc.Channel, sent: generation_pb2.GenerateRequest) -> RpcFailure:
    return sync_failure_of(lambda: Client(channel).generation.Generate(sent, metadata=bearer("alice")))


@pytest.mark.parametrize(
    ("filters", "rule"),
    [
        ({"input": {"emails": "mask", "secrets": "block"}}, "secrets"),
        ({"patterns": {"codename": {"pattern": "(?i)charge.{1,4}411", "input": "block"}}}, "patterns.codename"),
        ({"max_input_characters": 40}, "max_characters"),
    ],
)
def test_a_request_that_is_refused_names_the_filter_and_the_field(
    upstream: RecordingUpstream, filters: dict[str, Any], rule: str
) -> None:
    upstream.requests.clear()
    with channel_to(settings_of(upstream, **filters)) as channel:
        failure = blocked(channel, request(messages=[user("Hi"), user(TEXT)]))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTENT_BLOCKED")
    assert failure.metadata["filter"] == rule
    assert list(failure.fields) == ["messages[1]"]
    assert not any(secret in str(failure) for secret in (EMAIL, TOKEN, "4111"))
    assert upstream.requests == []


def stream(channel: grpc.Channel, caller: str = "alice") -> list[generation_pb2.StreamGenerateResponse]:
    sent = generation_pb2.StreamGenerateRequest(request=request("Hi"))
    return list(Client(channel).generation.StreamGenerate(sent, metadata=bearer(caller)))


def test_a_streamed_response_is_masked_wherever_it_is_divided(upstream: RecordingUpstream) -> None:
    with channel_to(settings_of(upstream, output=INPUT, exempt_callers=["bob"])) as channel:
        events, exempt = stream(channel), stream(channel, "bob")

    deltas = [event.delta.text for event in events if event.WhichOneof("event") == "delta"]
    completed = events[-1].completed
    assert "".join(deltas) == completed.message.parts[0].text == MASKED
    assert len(deltas) > 1
    assert [(warning.field, warning.message) for warning in completed.warnings] == [
        ("message.parts[0]", "The safety filters masked 1 × emails, 1 × cards, 1 × secrets."),
    ]
    assert exempt[-1].completed.message.parts[0].text == TEXT


def test_a_blocked_response_completes_without_content(upstream: RecordingUpstream) -> None:
    with channel_to(settings_of(upstream, output={"cards": "block"})) as channel:
        events = stream(channel)
        response = Client(channel).generation.Generate(request("Hi"), metadata=bearer("alice"))

    assert [event.WhichOneof("event") for event in events] == ["started", "completed"]
    for result in (events[-1].completed, response):
        assert not result.message.parts
        assert result.finish_reason == generation_pb2.FINISH_REASON_CONTENT_FILTER
        assert (result.usage.input_tokens, result.usage.output_tokens) == (5, 2)
        assert [warning.message for warning in result.warnings] == ["The safety filter cards blocked the response."]
