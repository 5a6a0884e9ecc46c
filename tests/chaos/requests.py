"""A client that times its calls, and helpers that wait for a condition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.config.settings import ServerSettings
from tests.chaos.clients import Observation, record_error
from tests.chaos.schedule import PlannedCall
from tests.integration.faults.gateway import attempts_of, generate_request, text_of
from tests.integration.faults.upstream import Upstream

DEFAULT_LAG_LIMIT = {"max_event_loop_lag_seconds": ServerSettings().max_event_loop_lag_seconds}
"""[server] settings with the default load shedding, which is off in other tests."""

UNPLANNED = PlannedCall("", 0.0, "", "", "", (), False, False, 0.0)


@dataclass(slots=True)
class CallResult:
    """The result of one call, `seconds` after it was sent. `attempts` has provider and error reason of each attempt.

    `text` is None without a response. `longest_gap` is the longest time between two events of a stream, in seconds.
    """

    seconds: float = 0.0
    provider: str = ""
    text: str | None = None
    code: str = "OK"
    reason: str = ""
    attempts: list[tuple[str, str]] = field(default_factory=list)
    event_types: list[str] = field(default_factory=list)
    longest_gap: float = 0.0

    def attempts_at(self, provider: str) -> int:
        """Return the number of requests that were sent to a provider."""
        return sum(name == provider and reason != "CIRCUIT_OPEN" for name, reason in self.attempts)


class Client:
    """A client of the gateway. Belongs to the running event loop."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.aio.insecure_channel(target, (("grpc.enable_retries", 0),))
        self._stub: Any = GenerationServiceStub(self.channel)

    def generate(self, model: str, *fallbacks: str, timeout: float = 60.0) -> Any:
        """Start a unary call."""
        return self._stub.Generate(generate_request(model, fallback_models=fallbacks), timeout=timeout)

    def stream(self, model: str, *fallbacks: str, restart: bool = False, timeout: float = 60.0) -> Any:
        """Start a streaming call."""
        policy = generation_pb2.INTERRUPTION_POLICY_RESTART if restart else generation_pb2.INTERRUPTION_POLICY_FAIL
        request = generation_pb2.StreamGenerateRequest(
            request=generate_request(model, fallback_models=fallbacks), on_interruption=policy
        )
        return self._stub.StreamGenerate(request, timeout=timeout)

    async def result(self, call: Any) -> CallResult:
        """Wait for the end of a call."""
        result, started_at = CallResult(), time.monotonic()
        try:
            await (_read_stream(call, result) if hasattr(call, "__aiter__") else _read_response(call, result))
        except grpc.aio.AioRpcError as error:
            observation = Observation(UNPLANNED)
            record_error(error, observation)
            result.code, result.reason = observation.code, observation.reason
            result.attempts = [(one.provider, one.error_reason) for one in observation.attempts]
        result.seconds = time.monotonic() - started_at
        return result


async def _read_response(call: Any, result: CallResult) -> None:
    _record(await call, result)


async def _read_stream(call: Any, result: CallResult) -> None:
    last_event_at = time.monotonic()
    try:
        async for event in call:
            now = time.monotonic()
            result.longest_gap, last_event_at = max(result.longest_gap, now - last_event_at), now
            result.event_types.append(event.WhichOneof("event"))
            if event.HasField("completed"):
                _record(event.completed, result)
    finally:
        result.longest_gap = max(result.longest_gap, time.monotonic() - last_event_at)


def _record(response: generation_pb2.GenerateResponse, result: CallResult) -> None:
    result.text = text_of(response)
    result.provider = response.execution.provider
    result.attempts = attempts_of(response.execution)


async def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Wait until the condition holds; return whether it did within this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.001)
    return True


def provider_tables(upstreams: Sequence[Upstream]) -> dict[str, dict[str, Any]]:
    """Return the [providers] tables of the upstreams."""
    return {upstream.name: upstream.provider_settings for upstream in upstreams}
