"""A thousand equal streams that share one response: readers, callers that leave, and callers that never read."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections import Counter
from typing import Any

from aimanager.v1.generation_pb2 import CACHE_MODE_USE, CachePolicy, StreamGenerateRequest
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.attack.attack import Attack, Received, Target
from tests.attack.attacks.bursts import RAISED_LIMITS
from tests.attack.attacks.mock import MODEL, WITH_MOCK
from tests.attack.requests import ATTACKER, generate_request, open_channel, outcome_of

STREAMS, CONNECTIONS = 1000, 20
STREAM_SECONDS = 28.0
WORDS = "[[latency: 4]] [[words: 100]]"
MISSES = re.compile(r'^aimanager_response_cache_requests_total\{result="miss"\} ([\d.e+]+)$', re.MULTILINE)
LEFT = re.compile(r'^aimanager_state_(?:entries|bytes)\{store="coalesced_requests"\} ([\d.e+]+)$', re.MULTILINE)


async def _send_streams(target: Target) -> Received:
    channels = [open_channel(target.port) for _ in range(CONNECTIONS)]
    request = StreamGenerateRequest(
        request=generate_request(WORDS, MODEL, cache_policy=CachePolicy(mode=CACHE_MODE_USE))
    )
    streams = [
        GenerationServiceStub(channels[number % CONNECTIONS]).StreamGenerate(
            request, metadata=ATTACKER, timeout=STREAM_SECONDS
        )
        for number in range(STREAMS)
    ]
    kinds = (_leave, outcome_of, _never_read)
    tasks = [asyncio.create_task(kinds[number % 3](stream)) for number, stream in enumerate(streams)]
    outcomes = Counter(await asyncio.gather(*tasks))
    for channel in channels:
        await channel.close()
    text = await asyncio.to_thread(_metrics, target.metrics_port)
    generated = sum(map(float, MISSES.findall(text)))
    return Received(outcomes, {"generated": generated, "left": sum(map(float, LEFT.findall(text)))})


async def _leave(stream: Any) -> str:
    """Leave after the first message, the first of all callers among them."""
    await stream.read()
    stream.cancel()
    return "left"


async def _never_read(stream: Any) -> str:
    """Wait for the end of the call without reading a message."""
    await stream.wait_for_connection()
    await asyncio.sleep(STREAM_SECONDS / 4)
    stream.cancel()
    return "never read"


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text: str = response.read().decode()
        return text


ATTACKS = (
    Attack(
        "equal_streams",
        f"{STREAMS} equal streams at once, of which a third leaves, a third reads and a third never reads",
        _send_streams,
        {**RAISED_LIMITS, **WITH_MOCK},
        max_added_wait_ms=None,
        max_peak_mib=400.0,
        max_figures={"generated": 1, "left": 0},
    ),
)
