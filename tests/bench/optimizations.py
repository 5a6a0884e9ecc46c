"""Measure each optimization on and off, in one run: the last column is on / off.

A new one is a line of OPTIMIZATIONS. `settings` is TOML that only the gateway with the optimization on has; `off` and
`on` measure one round, and differ only if the caller, not the server, decides.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count

from grpc import Compression

from aimanager import AIManager
from aimanager.v1.generation_pb2 import (
    PROMPT_OPTIMIZATION_HISTORY,
    PROMPT_OPTIMIZATION_WHITESPACE,
    CacheMode,
    GenerateRequest,
)
from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.conversation import ConversationTurn
from aimanager_server.core.request import Attempt, Call, Caller, Target
from aimanager_server.providers.wires.anthropic import AnthropicWire
from tests.support.counting_proxy import counting_proxy
from tests.support.paths import ROOT

from .extensions import MayChange, MayChangeDicts, SeesRequest, Watches, microseconds_with
from .figures import GATEWAY, OFF, Figure, Samples
from .load import CALLER_TOKEN, Load, request_for
from .measurements import Bench, alternating
from .processes import Process, gateway
from .workload import DELAYED, UNARY

CALLS, CONCURRENCY = 320, 32
LONG_CALLS, LONG_BYTES = 20, 64 * 1024
BATCH = 16
NUMBERS = count()
PROMPT = "Write a hundred words."
LONG = "".join(page.read_text("utf-8") for page in sorted((ROOT / "docs").glob("*.md")))[:LONG_BYTES]


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that runs, and a client of it."""

    server: Process
    load: Load


Measure = Callable[[Running], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Optimization:
    """What is measured with the optimization off and on. Without `on`, only the settings differ."""

    name: str
    unit: str
    off: Measure
    on: Measure | None = None
    settings: str = ""


def cpu(request: GenerateRequest, calls: int = CALLS, concurrency: int = CONCURRENCY) -> Measure:
    """Return the measurement of the server's CPU microseconds of a unary call."""

    async def measure(running: Running) -> float:
        before = running.server.cpu_seconds
        made = await running.load.generate(request, calls, concurrency)
        return (running.server.cpu_seconds - before) / made * 1e6

    return measure


def wall_clock(calls: Callable[[AIManager], object]) -> Measure:
    """Return the measurement of the milliseconds that some calls of the Python client take."""

    def timed(address: str) -> float:
        with AIManager.gateway(address, model=f"bench/{DELAYED}", token=CALLER_TOKEN) as ai:
            ai.request(PROMPT)  # connects
            began = time.perf_counter()
            calls(ai)
            return (time.perf_counter() - began) * 1e3

    async def measure(running: Running) -> float:
        return await asyncio.to_thread(timed, running.server.address)

    return measure


LOOSE = ("A line of a report, about as long as the lines that people write by hand. \n" * 5 + "\n\n\n") * 21
"""8 KiB of lines that end with a space, and of paragraphs that are three blank lines apart."""


DETECTORS = ("secrets", "named_secrets", "emails", "phones", "cards", "ibans", "national_ids")
MASK_ALL = ", ".join(f'{name} = "mask"' for name in DETECTORS)
SAFETY_FILTERS = f"[safety_filters]\ninput = {{{MASK_ALL}}}\noutput = {{{MASK_ALL}}}\n"


def optimized(text: str) -> GenerateRequest:
    """Return a request that lets the gateway shorten its prompt in every way."""
    request = request_for(UNARY, text)
    request.optimizations.extend((PROMPT_OPTIMIZATION_WHITESPACE, PROMPT_OPTIMIZATION_HISTORY))
    return request


def cached(mode: CacheMode.ValueType) -> GenerateRequest:
    """Return a request whose response is stored by the first round, and found by the others."""
    request = request_for(UNARY)
    request.cache_policy.mode = mode
    return request


def cpu_of_both(request: GenerateRequest, compression: Compression | None = None) -> Measure:
    """Return the measurement of the CPU microseconds of a unary call in the server and in its client."""

    async def measure(running: Running) -> float:
        before = running.server.cpu_seconds + time.process_time()
        made = await running.load.generate(request, LONG_CALLS, 1, compression)
        return (running.server.cpu_seconds + time.process_time() - before) / made * 1e6

    return measure


def cpu_of_encoding(*, prompt_cache: bool) -> Measure:
    """Return the measurement of the CPU microseconds that the body for Claude of a conversation of 50 turns takes.

    It is encoded in this process: the upstream does not speak Claude's API.
    """
    messages = tuple(Message(role, (Text(PROMPT * 4),)) for _ in range(50) for role in (Role.USER, Role.ASSISTANT))[:-1]
    target = Target("claude", "claude-opus-5-5")
    call = Call(
        "call-1", Caller(), "", messages, (target,), math.inf, system_instruction=LONG[:8192],
        turn=ConversationTurn("conv_1", 49, len(messages) - 1),
    )  # fmt: skip
    settings = ProviderSettings(wire="anthropic", base_url="http://127.0.0.1:1", prompt_cache=prompt_cache)
    wire = AnthropicWire(settings, Limits(), partial(Catalog.load().find, "claude"))

    async def measure(running: Running) -> float:
        attempt: Attempt[Call] = Attempt.of(call, target, 0.0)
        before = time.process_time()
        for _ in range(CALLS):
            wire.encode(attempt, "key")
        return (time.process_time() - before) / CALLS * 1e6

    return measure


def bytes_sent(request: GenerateRequest, compression: Compression | None = None) -> Measure:
    """Return the measurement of the KiB that a client sends for a request."""

    async def measure(running: Running) -> float:
        async with counting_proxy(running.server.port) as proxy, Load(proxy.target) as load:
            made = await load.generate(request, LONG_CALLS, 1, compression)
            return proxy.sent / made / 1024

    return measure


def cpu_of_groups(model: str, equal: int, mode: CacheMode.ValueType = CacheMode.CACHE_MODE_OFF) -> Measure:
    """Return the measurement of the server's CPU microseconds of a call, in groups of equal ones at the same time."""

    async def measure(running: Running) -> float:
        before = running.server.cpu_seconds
        for _ in range(CALLS // equal):
            request = request_for(model, f"{PROMPT} Begin with {next(NUMBERS)}.")
            request.cache_policy.mode = mode
            await running.load.generate(request, equal, equal)
        return (running.server.cpu_seconds - before) / CALLS * 1e6

    return measure


OPTIMIZATIONS: Sequence[Optimization] = (
    Optimization("nothing", "µs/call", cpu(request_for(UNARY))),  # the noise of the comparison
    Optimization(
        "batch", "ms", wall_clock(lambda ai: [ai.request(PROMPT) for _ in range(BATCH)]),
        wall_clock(lambda ai: ai.batch([PROMPT] * BATCH, max_in_flight=BATCH)),
    ),
    Optimization(
        "gzip_sent", "KiB/call", bytes_sent(request_for(UNARY, LONG)),
        bytes_sent(request_for(UNARY, LONG), Compression.Gzip),
    ),
    Optimization(
        "gzip_cpu", "µs/call", cpu_of_both(request_for(UNARY, LONG)),
        cpu_of_both(request_for(UNARY, LONG), Compression.Gzip),
    ),
    Optimization(
        "coalesced", "µs/call", cpu_of_groups(DELAYED, CONCURRENCY),
        cpu_of_groups(DELAYED, CONCURRENCY, CacheMode.CACHE_MODE_USE),
    ),
    Optimization(
        "coalescing_alone", "µs/call", cpu_of_groups(UNARY, 1), cpu_of_groups(UNARY, 1, CacheMode.CACHE_MODE_USE)
    ),
    Optimization("response_cache_hit", "µs/call", cpu(request_for(UNARY)), cpu(cached(CacheMode.CACHE_MODE_USE))),
    Optimization("response_cache_store", "µs/call", cpu(request_for(UNARY)), cpu(cached(CacheMode.CACHE_MODE_REFRESH))),
    Optimization("extension_request", "µs/call", microseconds_with(), microseconds_with(SeesRequest())),
    Optimization("extension_watching", "µs/call", microseconds_with(), microseconds_with(Watches())),
    Optimization("extension", "µs/call", microseconds_with(), microseconds_with(MayChange())),
    Optimization("extension_of_dicts", "µs/call", microseconds_with(), microseconds_with(MayChangeDicts())),
    Optimization(
        "extension_in_thread", "µs/call", microseconds_with(), microseconds_with(SeesRequest(), run_in="thread")
    ),
    Optimization("shorter_prompts", "µs/call", cpu(request_for(UNARY, LOOSE)), cpu(optimized(LOOSE))),
    Optimization("safety_filters", "µs/call", cpu(request_for(UNARY, PROMPT)), settings=SAFETY_FILTERS),
    Optimization(
        "safety_filters_64_kib", "µs/call", cpu(request_for(UNARY, LONG), LONG_CALLS, 1), settings=SAFETY_FILTERS
    ),
    Optimization("prompt_markers", "µs/call", cpu_of_encoding(prompt_cache=False), cpu_of_encoding(prompt_cache=True)),
)  # fmt: skip


async def optimizations(bench: Bench, rounds: int) -> list[Figure]:
    """Measure all of OPTIMIZATIONS. A first round warms up and does not count."""
    figures = []
    async with _running(bench, "") as plain:
        for one in OPTIMIZATIONS:
            async with AsyncExitStack() as stack:
                changed = await stack.enter_async_context(_running(bench, one.settings)) if one.settings else plain
                samples: Samples = {OFF: [], GATEWAY: []}
                sides = {OFF: (one.off, plain), GATEWAY: (one.on or one.off, changed)}
                for number in range(rounds + 1):
                    for side in alternating(sides, number):
                        measure, running = sides[side]
                        value = await measure(running)
                        if number:
                            samples[side].append(value)
            figures.append(Figure(f"optimization_{one.name}", one.unit, samples, floor=OFF))
    return figures


@asynccontextmanager
async def _running(bench: Bench, settings: str) -> AsyncIterator[Running]:
    revision = bench.revisions[GATEWAY]
    async with (
        gateway(revision, bench.upstream.port, bench.folder, settings=settings) as server,
        Load(server.address) as load,
    ):
        yield Running(server, load)
