"""The victim: another caller that sends small calls and health checks all the time and measures how long each takes.

Reads the port of the server from a line, prints "ready", and prints samples as JSON after SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass

import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from aimanager.v1 import generation_pb2_grpc
from tests.attack.requests import VICTIM, generate_request, open_channel, outcome_of, schema_request

TICK_SECONDS = 0.02
WARM_UP_TICKS = 25
ANSWER_SECONDS = 8.0
"""How long a call may take before it counts as not answered."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One call: its kind, when it started on the system's monotonic clock, how long it took, and its outcome."""

    kind: str
    started_at: float
    seconds: float
    outcome: str


class Victim:
    """Sends each kind of call at a fixed rate, whether earlier ones are answered or not."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._channel = open_channel(port)
        self._generate = generation_pb2_grpc.GenerationServiceStub(self._channel).Generate
        self._check = health_pb2_grpc.HealthStub(self._channel).Check
        self._kinds: dict[str, tuple[int, Callable[[], Awaitable[str]]]] = {
            "call": (1, self._call),
            "health": (3, self._health),
            "json call": (10, self._json_call),
            "connection": (15, self._connection),
        }
        self._calls: set[asyncio.Task[None]] = set()
        self.samples: list[Sample] = []

    async def run(self, stopped: asyncio.Event) -> None:
        """Send calls until stopped, print "ready" after the first of them, and wait for all."""
        tick = 0
        while not stopped.is_set():
            for kind, (interval, send) in self._kinds.items():
                if tick % interval == 0:
                    task = asyncio.create_task(self._measure(kind, send))
                    self._calls.add(task)
                    task.add_done_callback(self._calls.discard)
            tick += 1
            if tick == WARM_UP_TICKS:
                print("ready", flush=True)
            await asyncio.sleep(TICK_SECONDS)
        if self._calls:
            await asyncio.wait(self._calls)
        await self._channel.close()

    async def _measure(self, kind: str, send: Callable[[], Awaitable[str]]) -> None:
        started_at = time.monotonic()
        outcome = await send()
        self.samples.append(Sample(kind, started_at, time.monotonic() - started_at, outcome))

    async def _call(self) -> str:
        return await outcome_of(self._generate(generate_request(), metadata=VICTIM, timeout=ANSWER_SECONDS))

    async def _json_call(self) -> str:
        return await outcome_of(self._generate(schema_request(), metadata=VICTIM, timeout=ANSWER_SECONDS))

    async def _health(self) -> str:
        return await outcome_of(self._check(health_pb2.HealthCheckRequest(), timeout=ANSWER_SECONDS))

    async def _connection(self) -> str:
        async with open_channel(self._port) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            return await outcome_of(check(health_pb2.HealthCheckRequest(), timeout=ANSWER_SECONDS))


async def observe(port: int) -> list[Sample]:
    """Send calls until SIGTERM and return the samples."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    victim = Victim(port)
    await victim.run(stopped)
    return victim.samples


if __name__ == "__main__":
    print(json.dumps([astuple(sample) for sample in uvloop.run(observe(int(sys.stdin.readline())))]))
