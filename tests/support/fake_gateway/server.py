"""A gRPC server on a free port that answers as it is told, for statuses that a healthy server never sends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from aimanager.messages import assistant
from aimanager.v1 import content_pb2, embedding_pb2, generation_pb2, health_pb2, model_pb2, usage_pb2

DETAILS = "grpc-status-details-bin"
PUSHBACK = ("grpc-retry-pushback-ms", "-1")

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
        "AssessProviders": (health_pb2.AssessProvidersRequest, False),
        "GetMetricsSummary": (health_pb2.GetMetricsSummaryRequest, False),
    },
}
"""Service → method → its request, and whether it streams."""


@dataclass(frozen=True)
class Received:
    """One call as the server saw it."""

    method: str
    request: Any
    metadata: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class Refusal:
    """Ends a call with a status."""

    code: grpc.StatusCode
    message: str = "No."
    trailers: tuple[tuple[str, str | bytes], ...] = ()


@dataclass(frozen=True)
class Silence:
    """Says nothing until the call is cancelled or its deadline passes."""


Answer = Message | Refusal | Silence


@dataclass
class FakeGateway:
    """Answers each method from its own list, in order; the last answer is given again and again."""

    target: str = ""
    received: list[Received] = field(default_factory=list)
    silenced: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    _answers: dict[str, deque[Sequence[Answer]]] = field(default_factory=dict)

    def will(self, method: str, *answers: Answer | Sequence[Answer]) -> None:
        """Tells what to answer; a list is a stream."""
        self._answers[method] = deque([each] if isinstance(each, Answer) else each for each in answers)

    def messages(self, method: str, request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        """Plays the next answer."""
        over = self._watch(context)
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.received.append(Received(method, request, metadata, context.time_remaining()))
        answers = self._answers[method]
        for answer in answers.popleft() if len(answers) > 1 else answers[0]:
            yield self._play(answer, context, over)

    def _watch(self, context: grpc.ServicerContext) -> threading.Event:
        over = threading.Event()
        for event in (over, self.ended):
            if not context.add_callback(event.set):
                event.set()
        return over

    def _play(self, answer: Answer, context: grpc.ServicerContext, over: threading.Event) -> Message:
        if isinstance(answer, Refusal):
            context.set_trailing_metadata(answer.trailers)
            context.abort(answer.code, answer.message)
        if isinstance(answer, Silence):
            self.silenced.set()
            over.wait(10)
            context.abort(grpc.StatusCode.CANCELLED, "nobody listens")
        assert isinstance(answer, Message)
        return answer


def serve(gateway: FakeGateway, credentials: grpc.ServerCredentials | None = None) -> grpc.Server:
    """Starts it on a free port of 127.0.0.1 and sets its target; whoever calls stops it."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    for service, methods in SERVICES.items():
        handlers = {name: _handler(gateway, name, *shape) for name, shape in methods.items()}
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
        return grpc.unary_stream_rpc_method_handler(stream, request.FromString, _bytes)
    return grpc.unary_unary_rpc_method_handler(unary, request.FromString, _bytes)


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


def refusal(
    code: grpc.StatusCode,
    reason: str,
    message: str = "It cannot be done.",
    *,
    retry_after: float | None = None,
    details: Sequence[Message] = (),
    metadata: Mapping[str, str] | None = None,
    solution: str = "Do it otherwise.",
    resend: bool = False,
) -> Refusal:
    """A status as the gateway sends it."""
    said: list[Message] = [
        error_details_pb2.ErrorInfo(reason=reason, domain="aimanager.dev", metadata=metadata or {}),
        error_details_pb2.LocalizedMessage(locale="en", message=solution),
        *details,
    ]
    if retry_after is not None:
        pause = Duration()
        pause.FromMilliseconds(round(retry_after * 1000))
        said.append(error_details_pb2.RetryInfo(retry_delay=pause))
    status = status_pb2.Status(code=code.value[0], message=message, details=[_packed(each) for each in said])
    trailers = ((DETAILS, status.SerializeToString()), *(() if resend else (PUSHBACK,)))
    return Refusal(code, message, trailers)


def _packed(detail: Message) -> Packed:
    packed = Packed()
    packed.Pack(detail)
    return packed


def answer(text: str = "Hello.", **fields: Any) -> generation_pb2.GenerateResponse:
    """A whole answer of mock/mock-large."""
    message = assistant(text)
    message.provider, message.model = "mock", "mock-large"
    said: dict[str, Any] = {
        "id": "req-1",
        "message": message,
        "finish_reason": generation_pb2.FINISH_REASON_STOP,
        "provider_finish_reason": "stop",
        "usage": usage_pb2.Usage(input_tokens=3, output_tokens=2, source=usage_pb2.USAGE_SOURCE_REPORTED),
        "cost": usage_pb2.Cost(currency_code="USD", total_nanos=2_500_000, estimated=True),
        "route": route(),
    }
    return generation_pb2.GenerateResponse(**(said | fields))


def route() -> generation_pb2.Route:
    """The way of `answer`: one failure, then the answer, after 1.5 s."""
    return generation_pb2.Route(
        requested_model="mock/latest",
        provider="mock",
        model="mock-large",
        attempts=[
            generation_pb2.Attempt(provider="mock", model="mock-small", error_reason="PROVIDER_OVERLOADED"),
            generation_pb2.Attempt(provider="mock", model="mock-large", duration=Duration(seconds=1)),
        ],
        latency=Duration(seconds=1, nanos=500_000_000),
    )


def events(whole: generation_pb2.GenerateResponse, *deltas: str) -> list[Message]:
    """A stream: started, a delta of text each, the part, completed."""
    Event = generation_pb2.StreamGenerateResponse  # noqa: N806  # it is a class
    part = generation_pb2.PartCompleted(index=0, part=content_pb2.Part(text="".join(deltas)))
    said: list[Message] = [
        Event(started=generation_pb2.StreamStarted(id=whole.id, route=whole.route)),
        *(Event(delta=generation_pb2.PartDelta(index=0, text=delta)) for delta in deltas),
        Event(part_completed=part),
        Event(completed=whole),
    ]
    for number, event in enumerate(said):
        assert isinstance(event, Event)
        event.sequence = number
    return said
