"""Measure what the Python client adds to the CPU time of a unary call over its own generated stub."""

from __future__ import annotations

import time
from collections.abc import Callable

from aimanager import AIManager, user
from aimanager.v1.generation_pb2 import GenerateRequest

from .figures import GATEWAY, Figure
from .load import TIMEOUT_SECONDS
from .workload import UNARY

CALLS = 500


def facade_overhead(address: str, rounds: int) -> Figure:
    """Measure the CPU time of this process, gRPC included, and subtract that of calls of the bare stub."""
    with AIManager.gateway(address, model=UNARY) as ai:

        def call_stub() -> None:
            request = GenerateRequest(model=UNARY, messages=[user("Hi")])
            response = ai.stubs.generation.Generate(request, timeout=TIMEOUT_SECONDS)
            assert response.message.parts[0].text

        def call_facade() -> None:
            assert ai.request("Hi").content

        microseconds(call_stub), microseconds(call_facade)  # warm up
        added = [microseconds(call_facade) - microseconds(call_stub) for _ in range(rounds)]
    return Figure("facade_added_cpu_us", "µs/call", {GATEWAY: added})


def microseconds(call: Callable[[], None]) -> float:
    """Return the CPU time of a call, the mean of many."""
    before = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - before) / CALLS * 1e6
