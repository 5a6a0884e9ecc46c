"""Operations: each describes one RPC completely, without a channel."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import grpc
import pytest

from aimanager import AIResponse, Embeddings, Model, TokenCount
from aimanager._convert.conversations import (
    append_messages,
    compact_conversation,
    delete_conversation,
    fork_conversation,
    generate_turn,
    list_conversations,
    list_turns,
    open_conversation,
    pin_turn,
    stream_turn,
    update_conversation,
)
from aimanager._convert.defaults import CallDefaults
from aimanager._convert.embeddings import embed
from aimanager._convert.models import get_model, list_models, next_page, suggest_models
from aimanager._convert.monitoring import assess_providers, list_health, metrics_summary, watch_health
from aimanager._convert.operation import Operation
from aimanager._convert.requests import count_tokens, generate, stream_generate
from aimanager._transport.channel import SyncChannel, start_call
from aimanager._transport.endpoint import Endpoint
from aimanager.errors import InvalidRequestError
from aimanager.v1 import conversation_pb2, embedding_pb2, generation_pb2, model_pb2

DEFAULTS = CallDefaults("claude", "claude/latest")
OPERATIONS: list[Operation[Any, Any, Any]] = [
    generate("Hi", {}, DEFAULTS),
    stream_generate("Hi", {}, DEFAULTS, "restart"),
    count_tokens("Hi", {}, DEFAULTS),
    embed("Hi", {}, DEFAULTS),
    list_models("", (), available_only=False, refresh=False),
    get_model("latest"),
    suggest_models((), {}),
    list_health((), probe=False),
    watch_health(()),
    assess_providers((), 60),
    metrics_summary(None, None, 60),
]
TURNS: list[Operation[Any, Any, Any]] = [
    generate_turn(conversation_pb2.Conversation(id="conv_1"), "Hi", {}, DEFAULTS),
    stream_turn(conversation_pb2.Conversation(id="conv_1"), "Hi", {}, DEFAULTS, "restart"),
]
CONVERSATIONS: list[Operation[Any, Any, Any]] = [
    open_conversation(None, None, None, None, None, DEFAULTS),
    open_conversation("conv_1", None, None, None, None, DEFAULTS),
    list_conversations(None, 50),
    update_conversation("conv_1", "Trip", None, None, None, DEFAULTS),
    delete_conversation("conv_1"),
    append_messages("conv_1", "Hi", pinned=False),
    list_turns("conv_1"),
    pin_turn("conv_1", 0, pinned=True),
    fork_conversation("conv_1", None, None),
    compact_conversation("conv_1", None, None, None, DEFAULTS),
]


def test_every_operation_names_a_method_of_the_stubs() -> None:
    channel = SyncChannel(Endpoint("127.0.0.1:1"))

    operations = OPERATIONS + CONVERSATIONS
    methods = [attrgetter(operation.method)(channel.stubs) for operation in operations]
    channel.close()

    streams = [operation.method for operation, method in zip(operations, methods, strict=True) if is_stream(method)]
    assert streams == ["generation.StreamGenerate", "health.WatchProviderHealth"]


def is_stream(method: object) -> bool:
    return isinstance(method, grpc.UnaryStreamMultiCallable)


def test_only_calls_to_a_model_send_the_provider_key() -> None:
    methods = [operation.method for operation in OPERATIONS if operation.sends_provider_key]

    assert methods == ["generation.Generate", "generation.StreamGenerate", "models.CountTokens", "embeddings.Embed"]


def test_every_method_of_conversations_has_an_operation() -> None:
    service = conversation_pb2.DESCRIPTOR.services_by_name["ConversationService"]

    assert {operation.method.partition(".")[2] for operation in CONVERSATIONS} == set(service.methods_by_name)
    assert [each.method for each in CONVERSATIONS if each.sends_provider_key] == ["conversations.CompactConversation"]
    assert not any(operation.retries_rate_limit or operation.retries_unavailable for operation in CONVERSATIONS)


def test_every_turn_has_an_idempotency_key_so_that_a_retry_adds_it_once() -> None:
    requests = [getattr(operation.request, "request", operation.request) for operation in TURNS]

    assert [re.fullmatch(r"[0-9a-f]{32}", request.idempotency_key) is not None for request in requests] == [True, True]
    assert {request.conversation_id for request in requests} == {"conv_1"}


def test_only_generations_and_embeddings_retry_a_rate_limit() -> None:
    methods = [operation.method for operation in OPERATIONS if operation.retries_rate_limit]

    assert methods == ["generation.Generate", "generation.StreamGenerate", "embeddings.Embed"]


def test_only_unary_generations_and_embeddings_always_have_an_idempotency_key() -> None:
    keys = {operation.method: getattr(operation.request, "idempotency_key", "") for operation in OPERATIONS}

    assert [method for method, key in keys.items() if re.fullmatch(r"[0-9a-f]{32}", key)] == [
        "generation.Generate",
        "embeddings.Embed",
    ]


def test_only_streams_retry_an_unavailable_gateway_themselves() -> None:
    methods = [operation.method for operation in OPERATIONS if operation.retries_unavailable]

    assert methods == ["generation.StreamGenerate"]


def test_default_timeouts() -> None:
    timeouts = {operation.method: operation.timeout for operation in OPERATIONS}

    assert timeouts == {
        "generation.Generate": 600,
        "generation.StreamGenerate": 1200,
        "models.CountTokens": 30,
        "embeddings.Embed": 600,
        "models.ListModels": 10,
        "models.GetModel": 10,
        "models.SuggestModels": 10,
        "health.ListProviderHealth": 10,
        "health.WatchProviderHealth": None,
        "quality.AssessProviders": 10,
        "metrics.GetMetricsSummary": 10,
    }


def test_probes_and_refreshes_have_a_longer_timeout() -> None:
    assert list_models("", (), available_only=False, refresh=True).timeout == 30
    assert list_health((), probe=True).timeout == 30


@pytest.mark.parametrize(
    "build",
    [
        lambda defaults, options: generate("Hi", options, defaults),
        lambda defaults, options: stream_generate("Hi", options, defaults, "fail"),
        lambda defaults, options: count_tokens("Hi", options, defaults),
        lambda defaults, options: embed("Hi", options, defaults),
    ],
)
def test_timeout_of_the_call_overrides_that_of_the_client(
    build: Callable[[CallDefaults, Any], Operation[Any, Any, Any]],
) -> None:
    defaults = CallDefaults(timeout=7)

    assert build(defaults, {}).timeout == 7
    assert build(defaults, {"timeout": 3}).timeout == 3
    with pytest.raises(InvalidRequestError, match="timeout must be a positive number of seconds, got 0"):
        build(defaults, {"timeout": 0})


def test_responses_are_read_as_result_types() -> None:
    response = generation_pb2.GenerateResponse(structured_output_json='{"a": 1}')

    read = generate("Hi", {"output": dict}, DEFAULTS).read(response)

    assert read == AIResponse.from_proto(response)
    assert read.parsed == {"a": 1}
    assert embed("Hi", {}, DEFAULTS).read(embedding_pb2.EmbedResponse()) == Embeddings(embedding_pb2.EmbedResponse())
    assert get_model("a").read(model_pb2.GetModelResponse()) == Model(model_pb2.Model())
    count = model_pb2.CountTokensResponse(provider="p", model="m")
    assert count_tokens("Hi", {}, DEFAULTS).read(count) == TokenCount(0, "", "p", "m")


def test_next_page_keeps_the_filters() -> None:
    first = list_models("claude", ["reasoning"], available_only=True, refresh=False)

    second = next_page(first, model_pb2.ListModelsResponse(next_page_token="2"))  # no password

    assert second is not None
    assert (second.request.page_token, first.request.page_token) == ("2", "")
    assert (second.request.provider, second.request.available_only) == ("claude", True)
    assert next_page(second, model_pb2.ListModelsResponse()) is None


@dataclass
class RecordingStubs:
    """Stubs that record the arguments of one method."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def models(self) -> Any:
        return self

    def GetModel(self, request: object, **arguments: Any) -> None:  # noqa: N802  # named as in the API
        self.calls.append(arguments)


def test_call_is_sent_with_timeout_and_token() -> None:
    stubs: Any = RecordingStubs()
    endpoint = Endpoint("127.0.0.1:1", token="t0ken", provider="claude", provider_key="k3y")

    start_call(stubs, endpoint, get_model("latest"), 5.0, on_event_loop=False)

    assert stubs.calls == [{"timeout": 5.0, "metadata": (("authorization", "Bearer t0ken"),)}]
