"""A gRPC server on a free port that plays scripted responses, including errors that a healthy server never sends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message

from aimanager.v1 import embedding_pb2, generation_pb2, health_pb2, metrics_pb2, model_pb2, quality_pb2

SERVICES: Mapping[str, Mapping[str, tuple[type[Message], bool]]] = {
    "aimanager.v1.GenerationService": {
        "Generate": (generation_pb2.GenerateRequest, False),
        "StreamGenerate": (generation_pb2.StreamGenerateRequest, True),
    },
    "aimanager.v1.ModelService": {
        "ListModels": (model_pb2.ListModelsRequest, False),
        "GetModel": (model_pb2.GetModelRequest, False),
        "SuggestModels": (model_pb2.SuggestModelsRequest, False),
        "CountTokens": (model_pb2.CountTokensRequest, False),
    },
    "aimanager.v1.EmbeddingService": {"Embed": (embedding_pb2.EmbedRequest, False)},
    "aimanager.v1.HealthService": {
        "ListProviderHealth": (health_pb2.ListProviderHealthRequest, False),
        "WatchProviderHealth": (health_pb2.WatchProviderHealthRequest, True),
    },
    "aimanager.v1.QualityService": {"AssessProviders": (quality_pb2.AssessProvidersRequest, False)},
    "aimanager.v1.MetricsService": {"GetMetricsSummary": (metrics_pb2.GetMetricsSummaryRequest, False)},
}
"""Service → method → request type, and whether the method streams its response."""


@dataclass(frozen=True)
class ReceivedCall:
    """One call as the server received it. `timeout` is in seconds."""

    method: str
    request: Any
    metadata: Mapping[str, str]
    timeout: float


@dataclass(frozen=True)
class ErrorStatus:
    """Ends a call with an error status."""

    code: grpc.StatusCode
    message: str = "Failed."
    trailers: tuple[tuple[str, str | bytes], ...] = ()


@dataclass(frozen=True)
class Hang:
    """Sends nothing until the call is cancelled or its deadline passes."""


ScriptedResponse = Message | ErrorStatus | Hang


@dataclass
class FakeGateway:
    """Plays the scripted responses of each method in order, and repeats the last one."""

    target: str = ""
    received: list[ReceivedCall] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    call_ended: threading.Event = field(default_factory=threading.Event)
    _scripts: dict[str, deque[Sequence[ScriptedResponse]]] = field(default_factory=dict)

    def respond(self, method: str, *responses: ScriptedResponse | Sequence[ScriptedResponse]) -> None:
        """Script the responses of a method, one per call; a list is a stream."""
        self._scripts[method] = deque([each] if isinstance(each, ScriptedResponse) else each for each in responses)

    def messages(self, method: str, request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        """Play the next scripted response."""
        ended = self._observe_end(context)
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.received.append(ReceivedCall(method, request, metadata, context.time_remaining()))
        script = self._scripts[method]
        for response in script.popleft() if len(script) > 1 else script[0]:
            yield self._play(response, context, ended)

    def _observe_end(self, context: grpc.ServicerContext) -> threading.Event:
        ended = threading.Event()
        for event in (ended, self.call_ended):
            if not context.add_callback(event.set):
                event.set()
        return ended

    def _play(self, response: ScriptedResponse, context: grpc.ServicerContext, ended: threading.Event) -> Message:
        if isinstance(response, ErrorStatus):
            context.set_trailing_metadata(response.trailers)
            context.abort(response.code, response.message)
        if isinstance(response, Hang):
            self.hanging.set()
            ended.wait(10)
            context.abort(grpc.StatusCode.CANCELLED, "the call ended")
        assert isinstance(response, Message)
        return response


def serve(gateway: FakeGateway, credentials: grpc.ServerCredentials | None = None) -> grpc.Server:
    """Start a server on a free port of 127.0.0.1 and set the gateway's target. The caller stops the server."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    for service, methods in SERVICES.items():
        handlers = {name: _handler(gateway, name, *signature) for name, signature in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    gateway.target = f"127.0.0.1:{port}"
    server.start()
    return server


def _handler(
    gateway: FakeGateway,
    method: str,
    request: type[Message],
    streams: bool,
) -> grpc.RpcMethodHandler[Message, Message]:
    def stream(message: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        yield from gateway.messages(method, message, context)

    def unary(message: Message, context: grpc.ServicerContext) -> Message:
        return next(gateway.messages(method, message, context))

    if streams:
        return grpc.unary_stream_rpc_method_handler(stream, request.FromString, _serialize)
    return grpc.unary_unary_rpc_method_handler(unary, request.FromString, _serialize)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
