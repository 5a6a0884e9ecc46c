"""Calls whose log lines nobody reads."""

from __future__ import annotations

import asyncio
from collections import Counter

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.attack.attack import Attack, LogReader, Received, Target
from tests.attack.requests import ATTACKER, CALL_SECONDS, generate_request, open_channel, outcome_of

CALLS, WORKERS = 1000, 4
"""Their log lines take a multiple of what a pipe holds."""


async def _send_calls(target: Target) -> Received:
    outcomes: Counter[str] = Counter()
    async with open_channel(target.port) as channel:
        generate = GenerationServiceStub(channel).Generate

        async def send() -> None:
            for _ in range(CALLS // WORKERS):
                outcome = await outcome_of(generate(generate_request(), metadata=ATTACKER, timeout=CALL_SECONDS))
                outcomes[outcome] += 1
                if outcome == "no answer":
                    return

        await asyncio.gather(*(send() for _ in range(WORKERS)))
    return Received(outcomes, {"not_answered": CALLS - outcomes["OK"]})


ATTACKS = (
    Attack(
        "log_not_read",
        f"{CALLS} calls while the reader of the log reads nothing",
        _send_calls,
        log_reader=LogReader.STOPS,
        max_figures={"not_answered": 0},
    ),
    Attack(
        "log_reader_gone",
        f"{CALLS} calls after the reader of the log has closed the pipe",
        _send_calls,
        log_reader=LogReader.LEAVES,
        max_figures={"not_answered": 0},
    ),
)
