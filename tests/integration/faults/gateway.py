"""A real server between a real client and upstreams that misbehave."""

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

from aimanager.v1 import content_pb2, generation_pb2, health_pb2, usage_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager_server import app
from tests.integration.faults.socket_faults import listening
from tests.integration.faults.upstream import Upstream
from tests.support.gateway import in_thread, settings_with
from tests.support.rpc_errors import Refusal

NAMES = ("first", "second", "third")
NEXT = ("second/m",)
LIMIT = 0.3
"""Seconds for which the servers of these tests wait for content."""

PATIENCE = {
    "first_token_seconds": LIMIT,
    "first_token_reasoning_seconds": LIMIT,
    "idle_text_seconds": LIMIT,
    "idle_tool_call_seconds": LIMIT,
    "idle_reasoning_seconds": LIMIT,
}
RETRY = {"base_seconds": 0.02}
PATIENT_SECONDS = 10.0
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call as its caller sees it, `seconds` after it was sent; `seen` is what a stream had said."""

    error: Any
    seconds: float
    seen: tuple[Any, ...] = ()

    @property
    def refusal(self) -> Refusal:
        """Its parts."""
        return Refusal(self.error)

    @property
    def code(self) -> str:
        """The name of the gRPC code."""
        return str(self.refusal.code.name)

    @property
    def reason(self) -> str:
        """ErrorInfo.reason."""
        return self.refusal.reason

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """Who was asked, and why that failed."""
        route = self.refusal.detail(generation_pb2.Route)
        return attempts_of(route) if route is not None else []

    @property
    def usage(self) -> usage_pb2.Usage | None:
        """What was paid for, None where nothing is said."""
        found: usage_pb2.Usage | None = self.refusal.detail(usage_pb2.Usage)
        return found

    @property
    def advice(self) -> float | None:
        """Seconds to wait, None where nothing is said."""
        found = self.refusal.detail(error_details_pb2.RetryInfo)
        return found.retry_delay.ToTimedelta().total_seconds() if found is not None else None


class Gateway:
    """A client of the server; `loop` is the one that the server runs on."""

    def __init__(self, target: str, loop: asyncio.AbstractEventLoop) -> None:
        self.channel = grpc.insecure_channel(target, (("grpc.enable_retries", 0),))
        self.loop = loop
        self._generation: Any = GenerationServiceStub(self.channel)
        self._health: Any = HealthServiceStub(self.channel)

    def ask(
        self, model: str = "first/m", seconds: float | None = PATIENT_SECONDS, metadata: Metadata = (), **fields: Any
    ) -> Any:
        """A call under way: a future of its answer."""
        return self._generation.Generate.future(question(model, **fields), timeout=seconds, metadata=metadata)

    def answer(self, *args: Any, **fields: Any) -> generation_pb2.GenerateResponse:
        """The whole answer."""
        response: generation_pb2.GenerateResponse = self.ask(*args, **fields).result()
        return response

    def refused(self, *args: Any, **fields: Any) -> Failure:
        """How the call failed."""
        began = time.monotonic()
        try:
            said = self.answer(*args, **fields)
        except grpc.RpcError as error:
            return Failure(error, time.monotonic() - began)
        raise AssertionError(f"the call succeeded: {said}")

    def open_stream(
        self, model: str = "first/m", seconds: float = PATIENT_SECONDS, restarts: bool = False, **fields: Any
    ) -> Any:
        """A stream under way."""
        policy = generation_pb2.INTERRUPTION_POLICY_RESTART if restarts else generation_pb2.INTERRUPTION_POLICY_FAIL
        asked = generation_pb2.StreamGenerateRequest(request=question(model, **fields), on_interruption=policy)
        return self._generation.StreamGenerate(asked, timeout=seconds)

    def stream(self, *args: Any, **fields: Any) -> list[generation_pb2.StreamGenerateResponse]:
        """Every event of a whole streamed answer."""
        return list(self.open_stream(*args, **fields))

    def interrupted(self, *args: Any, **fields: Any) -> Failure:
        """How a stream failed, and what it had said."""
        began, seen = time.monotonic(), []
        try:
            for event in self.open_stream(*args, **fields):
                seen.append(event)
        except grpc.RpcError as error:
            return Failure(error, time.monotonic() - began, tuple(seen))
        raise AssertionError(f"the stream succeeded: {seen[-1]}")

    def health(self, provider: str = "first") -> health_pb2.ProviderHealth:
        """How a provider does, as traffic and probes showed."""
        listed = self._health.ListProviderHealth(health_pb2.ListProviderHealthRequest(providers=[provider]))
        found: health_pb2.ProviderHealth = listed.providers[0]
        return found

    def in_flight(self) -> int:
        """Calls under way now, this one not counted."""
        summary = self._health.GetMetricsSummary(health_pb2.GetMetricsSummaryRequest())
        return int(summary.requests_in_flight)


def question(model: str, text: str = "Hi", **fields: Any) -> generation_pb2.GenerateRequest:
    """A question of one turn."""
    turn = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
    return generation_pb2.GenerateRequest(model=model, messages=[turn], **fields)


def patience(**seconds: float) -> generation_pb2.Patience:
    """A call's own."""
    said = {name: Duration(nanos=round(1e9 * value)) for name, value in seconds.items()}
    return generation_pb2.Patience(**said)


def attempts_of(route: generation_pb2.Route) -> list[tuple[str, str]]:
    """Who was asked, and why that failed; empty on success."""
    return [(attempt.provider, attempt.error_reason) for attempt in route.attempts]


def text_of(response: generation_pb2.GenerateResponse) -> str:
    """What was said."""
    return "".join(part.text for part in response.message.parts)


def kinds_of(events: Sequence[generation_pb2.StreamGenerateResponse]) -> list[str | None]:
    """What happened."""
    return [event.WhichOneof("event") for event in events]


def previewed(events: Sequence[generation_pb2.StreamGenerateResponse]) -> str:
    """The text of the deltas, from the last restart on."""
    text = ""
    for event in events:
        text = "" if event.HasField("restarted") else text + event.delta.text
    return text


def until(happened: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for it; fails where it does not happen in time, which only a hang should need."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


@contextmanager
def gateway(*upstreams: Upstream, **sections: Any) -> Iterator[Gateway]:
    """A server whose providers are these, in the order of NAMES; the settings are quick unless `sections` says else."""
    with listening(*upstreams):
        providers = {
            name: {"base_url": one.url, "api_key": f"sk-of-{name}", **one.said}
            if "keys" not in one.said
            else {"base_url": one.url, **one.said}
            for name, one in zip(NAMES, upstreams, strict=False)
        }
        quick = {"patience": PATIENCE, "retry": RETRY}
        merged = {name: {**quick.get(name, {}), **sections.get(name, {})} for name in {*quick, *sections}}
        settings = settings_with(**merged, providers=providers)
        with in_thread(lambda stack: stack.enter_async_context(app.running(settings))) as (running, loop):
            client = Gateway(f"127.0.0.1:{running.port}", loop)
            try:
                yield client
            finally:
                client.channel.close()
