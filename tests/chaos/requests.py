"""Asks a server in the simplest way, and times it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.chaos.clients import Seen, read
from tests.chaos.schedule import Plan
from tests.integration.faults.gateway import question


@dataclass(slots=True)
class Told:
    """What came of one call, `seconds` after it was sent; `tried` says who was asked, and why that failed.

    `text` is that of the answer, None where there is none; `gap` the longest silence between two events of a stream.
    """

    seconds: float = 0.0
    provider: str = ""
    text: str | None = None
    code: str = "OK"
    reason: str = ""
    tried: list[tuple[str, str]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    gap: float = 0.0

    def asked(self, provider: str) -> int:
        """How often that one was, as the route says."""
        return sum(one == provider and reason != "CIRCUIT_OPEN" for one, reason in self.tried)


class Asking:
    """A client. Belongs to the running event loop."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.aio.insecure_channel(target, (("grpc.enable_retries", 0),))
        self._stub: Any = GenerationServiceStub(self.channel)

    def call(self, model: str, *others: str, seconds: float = 60.0) -> Any:
        """A call under way."""
        return self._stub.Generate(question(model, fallback_models=others), timeout=seconds)

    def stream(self, model: str, *others: str, restarts: bool = False, seconds: float = 60.0) -> Any:
        """A stream under way."""
        policy = generation_pb2.INTERRUPTION_POLICY_RESTART if restarts else generation_pb2.INTERRUPTION_POLICY_FAIL
        asked = generation_pb2.StreamGenerateRequest(
            request=question(model, fallback_models=others), on_interruption=policy
        )
        return self._stub.StreamGenerate(asked, timeout=seconds)

    async def told(self, call: Any) -> Told:
        """What comes of it."""
        told, began = Told(), time.monotonic()
        try:
            await (_each(call, told) if hasattr(call, "__aiter__") else _whole(call, told))
        except grpc.aio.AioRpcError as error:
            seen = Seen(NOBODYS)
            read(error, seen)
            told.code, told.reason = seen.code, seen.reason
            told.tried = [(one.provider, one.error_reason) for one in seen.attempts]
        told.seconds = time.monotonic() - began
        return told


NOBODYS = Plan("", 0.0, "", "", "", (), False, False, 0.0)


async def _whole(call: Any, told: Told) -> None:
    _take(await call, told)


async def _each(call: Any, told: Told) -> None:
    last = time.monotonic()
    try:
        async for event in call:
            now = time.monotonic()
            told.gap, last = max(told.gap, now - last), now
            told.kinds.append(event.WhichOneof("event"))
            if event.HasField("completed"):
                _take(event.completed, told)
    finally:
        told.gap = max(told.gap, time.monotonic() - last)


def _take(response: generation_pb2.GenerateResponse, told: Told) -> None:
    told.text = "".join(part.text for part in response.message.parts)
    told.provider = response.route.provider
    told.tried = [(one.provider, one.error_reason) for one in response.route.attempts]


async def until(happens: Any, seconds: float = 5.0) -> bool:
    """Wait until that is so; False where it was not in time."""
    ends = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(0.001)
    return True


def settings_for(providers: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Their tables in the configuration; `name` and `url` are those of an upstream."""
    return {one.name: {"base_url": one.url, "api_key": f"sk-of-{one.name}", **one.said} for one in providers}
