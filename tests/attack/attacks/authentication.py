"""Guesses of tokens, and calls that never send their request."""

from __future__ import annotations

import asyncio
from collections import Counter

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.attack.attack import Attack, Received, Target
from tests.attack.http2_connection import Header, authorization, call_headers, open_connection
from tests.attack.requests import ATTACKER, CALL_SECONDS, GENERATE, generate_request, open_channel, outcome_of
from tests.support.tokens import token_of

GUESSES, GUESS_SECONDS, WORKERS = 3000, 3.0, 16
MAX_ANSWERED_GUESSES = 300
SECRET_LENGTH = 64
HELD_CONNECTIONS, HELD_STREAMS = 4, 500
REQUEST_SECONDS = 1.5
"""Until the server ends calls whose request does not arrive."""

HOLD_SECONDS = 4.5


async def _guess_tokens(target: Target) -> Received:
    channels = [open_channel(target.port) for _ in range(WORKERS)]
    outcomes: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    started_at = loop.time()

    async def guess(worker: int) -> None:
        generate = GenerationServiceStub(channels[worker]).Generate
        for number in range(GUESSES // WORKERS):
            delay = started_at + number * WORKERS / GUESSES * GUESS_SECONDS - loop.time()
            await asyncio.sleep(max(delay, 0.0))
            if loop.time() > started_at + GUESS_SECONDS:
                return
            metadata = (("authorization", f"Bearer {_wrong_token(worker, number)}"),)
            outcomes[await outcome_of(generate(generate_request(), metadata=metadata, timeout=CALL_SECONDS))] += 1

    await asyncio.gather(*map(guess, range(WORKERS)))
    for channel in channels:
        await channel.close()
    return Received(outcomes, {"answered_guesses": outcomes["API_KEY_INVALID"]})


def _wrong_token(worker: int, number: int) -> str:
    """Return a token with the ID of a caller, or with one that nobody has."""
    guess = token_of(f"guess{worker}x{number}")
    return guess if number % 2 else token_of("attacker")[:-SECRET_LENGTH] + guess[-SECRET_LENGTH:]


async def _hold(target: Target, headers: tuple[Header, ...]) -> Received:
    """Send only the headers of calls, and count those that the server does not end in time."""
    received = Received()
    encoded = call_headers(GENERATE, *headers)

    async def hold() -> int:
        async with open_connection(target.port) as connection:
            for _ in range(HELD_STREAMS):
                connection.open_stream(encoded)
            await connection.drain()
            await asyncio.sleep(HOLD_SECONDS)
            received.outcomes += connection.received
            return connection.open_streams

    open_streams = await asyncio.gather(*(hold() for _ in range(HELD_CONNECTIONS)))
    received.figures["open_streams"] = sum(open_streams)
    return received


async def _hold_streams_without_token(target: Target) -> Received:
    return await _hold(target, ())


async def _hold_streams_with_token(target: Target) -> Received:
    return await _hold(target, authorization(ATTACKER))


HOLD_SETTINGS = {"server": {"request_timeout_seconds": REQUEST_SECONDS}}
HELD = f"the headers of {HELD_CONNECTIONS * HELD_STREAMS} calls"

ATTACKS = (
    Attack(
        "wrong_tokens",
        f"{GUESSES} calls with wrong tokens in {GUESS_SECONDS:g} s, from the victim's address",
        _guess_tokens,
        max_figures={"answered_guesses": MAX_ANSWERED_GUESSES},
    ),
    Attack(
        "headers_without_token",
        f"only {HELD} without a token",
        _hold_streams_without_token,
        HOLD_SETTINGS,
        max_figures={"open_streams": 0},
    ),
    Attack(
        "headers_only",
        f"only {HELD} with a token",
        _hold_streams_with_token,
        HOLD_SETTINGS,
        max_figures={"open_streams": 0},
    ),
)
