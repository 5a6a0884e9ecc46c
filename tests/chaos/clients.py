"""Callers as unruly as their plans say, and what each of them saw."""

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
from tests.chaos.schedule import Plan
from tests.support.rpc_errors import Refusal


@dataclass(slots=True)
class Seen:
    """What a caller saw of one call.

    `code` is the name of the gRPC code. `left` says that the caller cancelled. `shown` is the text of the deltas since
    the last restart, `whole` that of the answer; `kinds` are the events of a stream.
    """

    plan: Plan
    code: str = ""
    reason: str = ""
    message: str = ""
    seconds: float = 0.0
    left: bool = False
    shown: str = ""
    whole: str | None = None
    from_cache: bool = False
    usage: usage_pb2.Usage | None = None
    attempts: list[generation_pb2.Attempt] = field(default_factory=list)
    attempts_said: int = 0
    kinds: list[str] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)

    @property
    def whole_words(self) -> int:
        """How many words the answer has, each of which its upstream counted as a token."""
        return (self.whole or "").count(" ") + 2


class Callers:
    """Clients over several channels; `in_flight` of them have a call under way, `peak` had at most."""

    def __init__(self, target: str, channels: int = 6) -> None:
        options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
        self._channels = [grpc.aio.insecure_channel(target, options) for _ in range(channels)]
        self._stubs: list[Any] = [GenerationServiceStub(channel) for channel in self._channels]
        self.in_flight = 0
        self.peak = 0

    async def aclose(self) -> None:
        """Hang up."""
        for channel in self._channels:
            await channel.close()

    async def play(self, plans: Sequence[Plan]) -> list[Seen]:
        """Send each when its time has come; what came of all, once all ended."""
        began, under_way = time.monotonic(), list[asyncio.Task[Seen]]()
        for plan in plans:
            wait = began + plan.at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            under_way.append(asyncio.create_task(self.send(plan)))
        return await asyncio.gather(*under_way)

    async def send(self, plan: Plan) -> Seen:
        """Make one call, to its end."""
        seen, began = Seen(plan), time.monotonic()
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await (self._stream(plan, seen) if plan.streaming else self._whole(plan, seen))
            seen.code = "OK"
        except asyncio.CancelledError:
            seen.code = "CANCELLED"
        except grpc.aio.AioRpcError as error:
            read(error, seen)
        finally:
            self.in_flight -= 1
            seen.seconds = time.monotonic() - began
        return seen

    async def _whole(self, plan: Plan, seen: Seen) -> None:
        call = self._stub(plan).Generate(plan.request(), timeout=plan.deadline, metadata=_metadata(plan))
        timer = _leaves_later(call, plan, seen)
        try:
            _take(await call, seen)
        finally:
            _stop(timer)

    async def _stream(self, plan: Plan, seen: Seen) -> None:
        policy = (
            generation_pb2.INTERRUPTION_POLICY_RESTART if plan.restarts else generation_pb2.INTERRUPTION_POLICY_FAIL
        )
        asked = generation_pb2.StreamGenerateRequest(request=plan.request(), on_interruption=policy)
        call = self._stub(plan).StreamGenerate(asked, timeout=plan.deadline, metadata=_metadata(plan))
        timer = _leaves_later(call, plan, seen)
        try:
            async for event in call:
                _note(event, seen)
                if plan.cancel_at is not None and len(seen.kinds) >= plan.cancel_at:
                    seen.left = True
                    call.cancel()
                if plan.slow:
                    await asyncio.sleep(plan.slow)
        finally:
            _stop(timer)

    def _stub(self, plan: Plan) -> Any:
        return self._stubs[int(plan.id.rpartition("-")[2]) % len(self._stubs)]


def _metadata(plan: Plan) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", plan.id), ("authorization", f"Bearer token-of-{plan.caller}"))


def _leaves_later(call: Any, plan: Plan, seen: Seen) -> asyncio.TimerHandle | None:
    def leave() -> None:
        seen.left = call.cancel()

    if plan.cancel_after is None:
        return None
    if plan.cancel_after == 0.0:
        leave()
        return None
    return asyncio.get_running_loop().call_later(plan.cancel_after, leave)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _note(event: generation_pb2.StreamGenerateResponse, seen: Seen) -> None:
    kind = event.WhichOneof("event") or ""
    seen.kinds.append(kind)
    seen.sequence.append(event.sequence)
    if kind == "restarted":
        seen.shown = ""
    elif kind == "delta":
        seen.shown += event.delta.text
    elif kind == "completed":
        _take(event.completed, seen)


def _take(response: generation_pb2.GenerateResponse, seen: Seen) -> None:
    seen.whole = "".join(part.text for part in response.message.parts)
    seen.from_cache = response.from_cache
    seen.usage = response.usage
    seen.attempts = list(response.route.attempts)
    seen.attempts_said = len(seen.attempts)


def read(error: grpc.aio.AioRpcError, seen: Seen) -> None:
    """Take note of how a call failed."""
    seen.code, seen.message = error.code().name, error.details() or ""
    if "grpc-status-details-bin" not in dict(error.trailing_metadata() or ()):
        return
    refusal = Refusal(error)
    with suppress(ValueError):  # the caller's own deadline passed while the server's answer was on its way
        _read_details(refusal, seen)


def _read_details(refusal: Refusal, seen: Seen) -> None:
    info = refusal.detail(error_details_pb2.ErrorInfo)
    route = refusal.detail(generation_pb2.Route)
    seen.reason = info.reason if info is not None else ""
    seen.attempts_said = int(info.metadata.get("attempts", "0")) if info is not None else 0
    seen.usage = refusal.detail(usage_pb2.Usage)
    seen.attempts = list(route.attempts) if route is not None else []
