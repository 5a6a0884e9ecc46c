"""A complete gateway between a gRPC client and faulty upstreams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from aimanager.v1 import (
    content_pb2,
    embedding_pb2,
    generation_pb2,
    health_pb2,
    metrics_pb2,
    model_pb2,
    usage_pb2,
)
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.metrics_pb2_grpc import MetricsServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from aimanager_server import lifecycle
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Upstream
from tests.support.gateway import run_in_thread, settings_with
from tests.support.rpc_errors import RpcFailure

PROVIDERS = ("first", "second", "third")
"""Names of the first upstreams of a gateway; further ones are numbered."""

FALLBACK = ("second/m",)
CALL_TIMEOUT_SECONDS = 10.0
TIMEOUT_SETTINGS = (
    "first_token_seconds",
    "first_token_reasoning_seconds",
    "idle_text_seconds",
    "idle_tool_call_seconds",
    "idle_reasoning_seconds",
)
LONG_TIMEOUTS = dict.fromkeys(TIMEOUT_SETTINGS, 30.0)
"""Timeouts that never expire within a test."""

SHORT_TIMEOUT = 0.5
SHORT_FIRST_TOKEN_TIMEOUTS = dict.fromkeys(TIMEOUT_SETTINGS[:2], SHORT_TIMEOUT)
"""Timeouts for upstreams that send no content."""

SHORT_IDLE_TIMEOUTS = dict.fromkeys(TIMEOUT_SETTINGS[2:], SHORT_TIMEOUT)
"""Timeouts for upstreams that stall after their first content."""

FAST_RETRY = {"initial_backoff_seconds": 0.02}
SINGLE_ATTEMPT = {"max_attempts": 1}
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call as the caller sees it. `seconds` is its duration, `events` what a stream delivered before."""

    error: Any
    seconds: float
    events: tuple[Any, ...] = ()

    @property
    def rpc_failure(self) -> RpcFailure:
        """The error with its details."""
        return RpcFailure(self.error)

    @property
    def code(self) -> str:
        """The name of the gRPC status code."""
        return str(self.rpc_failure.code.name)

    @property
    def reason(self) -> str:
        """ErrorInfo.reason."""
        return self.rpc_failure.reason

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """Provider and error reason of each attempt."""
        execution = self.rpc_failure.detail(generation_pb2.Execution)
        return attempts_of(execution) if execution is not None else []

    @property
    def usage(self) -> usage_pb2.Usage | None:
        """The usage of the failed call, None if absent."""
        found: usage_pb2.Usage | None = self.rpc_failure.detail(usage_pb2.Usage)
        return found

    @property
    def retry_delay(self) -> float | None:
        """RetryInfo.retry_delay in seconds, None if absent."""
        found = self.rpc_failure.detail(error_details_pb2.RetryInfo)
        return found.retry_delay.ToTimedelta().total_seconds() if found is not None else None


class Gateway:
    """A client of a running gateway. `target` is its address, `loop` its event loop."""

    def __init__(self, target: str, loop: asyncio.AbstractEventLoop) -> None:
        self.target = target
        self.channel = grpc.insecure_channel(target, (("grpc.enable_retries", 0),))
        self.loop = loop
        self._generation: Any = GenerationServiceStub(self.channel)
        self._embedding: Any = EmbeddingServiceStub(self.channel)
        self._models: Any = ModelServiceStub(self.channel)
        self._health: Any = HealthServiceStub(self.channel)
        self._metrics: Any = MetricsServiceStub(self.channel)

    def start_call(
        self,
        model: str = "first/m",
        timeout: float | None = CALL_TIMEOUT_SECONDS,
        metadata: Metadata = (),
        **fields: Any,
    ) -> Any:
        """Start a unary call and return its future."""
        request = generate_request(model, **fields)
        return self._generation.Generate.future(request, timeout=timeout, metadata=metadata)

    def generate(self, *args: Any, **fields: Any) -> generation_pb2.GenerateResponse:
        """Return the response of a unary call."""
        response: generation_pb2.GenerateResponse = self.start_call(*args, **fields).result()
        return response

    def generate_failure(self, *args: Any, **fields: Any) -> Failure:
        """Return the failure of a unary call that must fail."""
        started_at = time.monotonic()
        try:
            response = self.generate(*args, **fields)
        except grpc.RpcError as error:
            return Failure(error, time.monotonic() - started_at)
        raise AssertionError(f"the call succeeded: {response}")

    def start_stream(
        self, model: str = "first/m", timeout: float = CALL_TIMEOUT_SECONDS, restart: bool = False, **fields: Any
    ) -> Any:
        """Start a streaming call; `restart` permits the gateway to restart it after an interruption."""
        policy = generation_pb2.INTERRUPTION_POLICY_RESTART if restart else generation_pb2.INTERRUPTION_POLICY_FAIL
        request = generation_pb2.StreamGenerateRequest(
            request=generate_request(model, **fields), on_interruption=policy
        )
        return self._generation.StreamGenerate(request, timeout=timeout)

    def stream(self, *args: Any, **fields: Any) -> list[generation_pb2.StreamGenerateResponse]:
        """Return every event of a streaming call."""
        return list(self.start_stream(*args, **fields))

    def stream_failure(self, *args: Any, **fields: Any) -> Failure:
        """Return the failure of a streaming call that must fail, with the events before it."""
        started_at, events = time.monotonic(), []
        try:
            for event in self.start_stream(*args, **fields):
                events.append(event)
        except grpc.RpcError as error:
            return Failure(error, time.monotonic() - started_at, tuple(events))
        raise AssertionError(f"the stream succeeded: {events[-1]}")

    def respond(self, is_streamed: bool, *args: Any, **fields: Any) -> generation_pb2.GenerateResponse:
        """Return the complete response of a unary or streaming call."""
        return self.stream(*args, **fields)[-1].completed if is_streamed else self.generate(*args, **fields)

    def fail(self, is_streamed: bool, *args: Any, **fields: Any) -> Failure:
        """Return the failure of a unary or streaming call that must fail."""
        return (self.stream_failure if is_streamed else self.generate_failure)(*args, **fields)

    def embed_failure(self, model: str = "first/m") -> Failure:
        """Return the failure of an embedding that must fail."""
        started_at = time.monotonic()
        try:
            response = self._embedding.Embed(
                embedding_pb2.EmbedRequest(model=model, inputs=["Hi"]), timeout=CALL_TIMEOUT_SECONDS
            )
        except grpc.RpcError as error:
            return Failure(error, time.monotonic() - started_at)
        raise AssertionError(f"the call succeeded: {response}")

    def count_tokens(self, model: str = "first/m") -> model_pb2.CountTokensResponse:
        """Return the number of input tokens of a short request."""
        request = model_pb2.CountTokensRequest(request=generate_request(model))
        response: model_pb2.CountTokensResponse = self._models.CountTokens(request, timeout=CALL_TIMEOUT_SECONDS)
        return response

    def health(self, provider: str = "first") -> health_pb2.ProviderHealth:
        """Return the health of a provider."""
        response = self._health.ListProviderHealth(health_pb2.ListProviderHealthRequest(providers=[provider]))
        found: health_pb2.ProviderHealth = response.providers[0]
        return found

    def requests_in_flight(self) -> int:
        """Return the number of generation calls in flight."""
        summary = self._metrics.GetMetricsSummary(metrics_pb2.GetMetricsSummaryRequest())
        return int(summary.requests_in_flight)


def generate_request(model: str, text: str = "Hi", **fields: Any) -> generation_pb2.GenerateRequest:
    """Return a request with one user message."""
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
    return generation_pb2.GenerateRequest(model=model, messages=[message], **fields)


def timeouts_of_call(**seconds: float) -> generation_pb2.StreamTimeouts:
    """Return the timeouts of one call, by field."""
    durations = {name: Duration(nanos=round(1e9 * value)) for name, value in seconds.items()}
    return generation_pb2.StreamTimeouts(**durations)


def attempts_of(execution: generation_pb2.Execution) -> list[tuple[str, str]]:
    """Return provider and error reason of each attempt; the reason is empty on success."""
    return [(attempt.provider, attempt.error_reason) for attempt in execution.attempts]


def text_of(response: generation_pb2.GenerateResponse) -> str:
    """Return the text of a response."""
    return "".join(part.text for part in response.message.parts)


def event_types(events: Sequence[generation_pb2.StreamGenerateResponse]) -> list[str | None]:
    """Return the field name of each event."""
    return [event.WhichOneof("event") for event in events]


def streamed_text(events: Sequence[generation_pb2.StreamGenerateResponse]) -> str:
    """Return the text of the deltas since the last restart."""
    text = ""
    for event in events:
        text = "" if event.HasField("restarted") else text + event.delta.text
    return text


def wait_until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Wait until the condition holds; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {timeout:g} s"
        time.sleep(0.002)


@contextmanager
def gateway(*upstreams: Upstream, **sections: Any) -> Iterator[Gateway]:
    """Run a gateway whose providers are the upstreams, named by PROVIDERS.

    Stream timeouts are long and retries fast unless `sections` of the configuration override them.
    """
    for number, upstream in enumerate(upstreams):
        upstream.name = PROVIDERS[number] if number < len(PROVIDERS) else f"provider-{number + 1}"
    with served_upstreams(*upstreams):
        providers = {upstream.name: upstream.provider_settings for upstream in upstreams}
        defaults = {"stream_timeouts": LONG_TIMEOUTS, "retry": FAST_RETRY}
        merged = {name: {**defaults.get(name, {}), **sections.get(name, {})} for name in {*defaults, *sections}}
        settings = settings_with(**merged, providers=providers)
        with run_in_thread(lambda stack: stack.enter_async_context(lifecycle.running_server(settings))) as (
            running,
            loop,
        ):
            client = Gateway(f"127.0.0.1:{running.port}", loop)
            try:
                yield client
            finally:
                client.channel.close()
