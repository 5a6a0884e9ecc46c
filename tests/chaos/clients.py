"""Clients that behave as their calls are planned, and what each of them observed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2

from aimanager.v1 import generation_pb2, usage_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.chaos.schedule import PlannedCall
from tests.support.rpc_errors import RpcFailure
from tests.support.tokens import bearer


@dataclass(slots=True)
class Observation:
    """What a caller observed of one call.

    `code` is the name of the gRPC status code, `was_cancelled` whether the caller cancelled. `streamed_text` is the
    text of the deltas since the last restart, `text` that of the complete response. `attempt_count` is the number of
    attempts that the server counted, of which an error carries only some.
    """

    plan: PlannedCall
    code: str = ""
    reason: str = ""
    message: str = ""
    seconds: float = 0.0
    was_cancelled: bool = False
    streamed_text: str = ""
    text: str | None = None
    from_cache: bool = False
    usage: usage_pb2.Usage | None = None
    attempts: list[generation_pb2.Attempt] = field(default_factory=list)
    attempt_count: int = 0
    event_types: list[str] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)

    @property
    def expected_tokens(self) -> int:
        """The output tokens of the response: its upstream counts each word as one token."""
        return (self.text or "").count(" ") + 2


class Clients:
    """Clients over several channels. `in_flight` is the number of calls in flight, `peak` its maximum."""

    def __init__(self, target: str, channels: int = 6) -> None:
        options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
        self._channels = [grpc.aio.insecure_channel(target, options) for _ in range(channels)]
        self._stubs: list[Any] = [GenerationServiceStub(channel) for channel in self._channels]
        self.in_flight = 0
        self.peak = 0

    async def aclose(self) -> None:
        """Close all channels."""
        for channel in self._channels:
            await channel.close()

    async def run(self, calls: Sequence[PlannedCall]) -> list[Observation]:
        """Send each call at its time and return the observations once all calls have ended."""
        started_at, tasks = time.monotonic(), list[asyncio.Task[Observation]]()
        for call in calls:
            delay = started_at + call.send_at - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            tasks.append(asyncio.create_task(self.send(call)))
        return await asyncio.gather(*tasks)

    async def send(self, plan: PlannedCall) -> Observation:
        """Make one call and wait for its end."""
        observation, started_at = Observation(plan), time.monotonic()
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await (self._stream(plan, observation) if plan.streaming else self._generate(plan, observation))
            observation.code = "OK"
        except asyncio.CancelledError:
            observation.code = "CANCELLED"
        except grpc.aio.AioRpcError as error:
            record_error(error, observation)
        finally:
            self.in_flight -= 1
            observation.seconds = time.monotonic() - started_at
        return observation

    async def _generate(self, plan: PlannedCall, observation: Observation) -> None:
        call = self._stub(plan).Generate(plan.request(), timeout=plan.timeout, metadata=_metadata(plan))
        timer = _schedule_cancellation(call, plan, observation)
        try:
            _record_response(await call, observation)
        finally:
            _stop(timer)

    async def _stream(self, plan: PlannedCall, observation: Observation) -> None:
        policy = generation_pb2.INTERRUPTION_POLICY_RESTART if plan.restart else generation_pb2.INTERRUPTION_POLICY_FAIL
        request = generation_pb2.StreamGenerateRequest(request=plan.request(), on_interruption=policy)
        call = self._stub(plan).StreamGenerate(request, timeout=plan.timeout, metadata=_metadata(plan))
        timer = _schedule_cancellation(call, plan, observation)
        try:
            async for event in call:
                _record_event(event, observation)
                if plan.cancel_at_event is not None and len(observation.event_types) >= plan.cancel_at_event:
                    observation.was_cancelled = True
                    call.cancel()
                if plan.read_delay:
                    await asyncio.sleep(plan.read_delay)
        finally:
            _stop(timer)

    def _stub(self, plan: PlannedCall) -> Any:
        return self._stubs[int(plan.id.rpartition("-")[2]) % len(self._stubs)]


def _metadata(plan: PlannedCall) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", plan.id), *bearer(plan.caller))


def _schedule_cancellation(call: Any, plan: PlannedCall, observation: Observation) -> asyncio.TimerHandle | None:
    def cancel() -> None:
        observation.was_cancelled = call.cancel()

    if plan.cancel_after is None:
        return None
    if plan.cancel_after == 0.0:
        cancel()
        return None
    return asyncio.get_running_loop().call_later(plan.cancel_after, cancel)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _record_event(event: generation_pb2.StreamGenerateResponse, observation: Observation) -> None:
    event_type = event.WhichOneof("event") or ""
    observation.event_types.append(event_type)
    observation.sequence.append(event.sequence)
    if event_type == "restarted":
        observation.streamed_text = ""
    elif event_type == "delta":
        observation.streamed_text += event.delta.text
    elif event_type == "completed":
        _record_response(event.completed, observation)


def _record_response(response: generation_pb2.GenerateResponse, observation: Observation) -> None:
    observation.text = "".join(part.text for part in response.message.parts)
    observation.from_cache = response.cache_status == usage_pb2.CACHE_STATUS_IDEMPOTENT_REPLAY
    observation.usage = response.usage
    observation.attempts = list(response.execution.attempts)
    observation.attempt_count = len(observation.attempts)


def record_error(error: grpc.aio.AioRpcError, observation: Observation) -> None:
    """Record the status and the details of a failed call."""
    observation.code, observation.message = error.code().name, error.details() or ""
    if "grpc-status-details-bin" not in dict(error.trailing_metadata() or ()):
        return
    failure = RpcFailure(error)
    with suppress(ValueError):  # the caller's own deadline expired while the server's response was in transit
        _record_details(failure, observation)


def _record_details(failure: RpcFailure, observation: Observation) -> None:
    info = failure.detail(error_details_pb2.ErrorInfo)
    execution = failure.detail(generation_pb2.Execution)
    observation.reason = info.reason if info is not None else ""
    observation.attempt_count = int(info.metadata.get("attempts", "0")) if info is not None else 0
    observation.usage = failure.detail(usage_pb2.Usage)
    observation.attempts = list(execution.attempts) if execution is not None else []
