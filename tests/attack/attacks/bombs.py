"""Requests that take little on the wire, or that take much and are sent by somebody without a token."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Any

import grpc

from tests.attack.attack import Attack, Received, Target
from tests.attack.requests import (
    ATTACKER,
    CALL_SECONDS,
    GENERATE,
    generate_request,
    one_by_one,
    open_channel,
    outcome_of,
    outcomes_of,
)

MIB = 1024 * 1024
BOMB_BYTES = 31 * MIB
MESSAGES, TOOLS, LABELS = b"\x12\x00", b"\x3a\x00", b"\x62\x00"
"""An empty submessage of these fields of GenerateRequest."""

PARTS, PACKED_TOOLS = b"\x12\xfe\x07" + b"\x1a\x00" * 511, b"\x3a\x00\x12\x00"
"""Messages with 511 empty parts each; tools and messages in turn."""

UNITS = (MESSAGES, TOOLS, LABELS, PARTS, PACKED_TOOLS)
CONNECTIONS, STREAMS = 4, 24
SIZES = (20, 24, 28, 31)
"""Sizes of requests in MiB."""


def _bombs(target: Target, metadata: Any) -> Iterator[Awaitable[str]]:
    for unit in UNITS:
        yield _send_bomb(target, unit * (BOMB_BYTES // len(unit)), metadata)


async def _send_bomb(target: Target, message: bytes, metadata: Any) -> str:
    async with open_channel(target.port) as channel:
        call: Any = channel.unary_unary(GENERATE)
        return await outcome_of(
            call(message, metadata=metadata, compression=grpc.Compression.Gzip, timeout=CALL_SECONDS)
        )


async def _send_bombs_without_token(target: Target) -> Received:
    return Received(await one_by_one(_bombs(target, None)))


async def _send_bombs(target: Target) -> Received:
    return Received(await one_by_one(_bombs(target, ATTACKER)))


async def _send_large_requests(target: Target) -> Received:
    received = Received()
    channels = [open_channel(target.port) for _ in range(CONNECTIONS)]
    messages = [generate_request("x" * size * MIB).SerializeToString() for size in SIZES]
    methods: list[Any] = [channel.unary_unary(GENERATE) for channel in channels]
    calls = [
        methods[number % CONNECTIONS](messages[number // CONNECTIONS % len(messages)], timeout=CALL_SECONDS)
        for number in range(STREAMS)
    ]
    received.outcomes += await outcomes_of(calls)
    for channel in channels:
        await channel.close()
    return received


ATTACKS = (
    Attack(
        "bombs_without_token",
        "5 requests of 31 KiB, gzip of 31 MiB of empty submessages, without a token",
        _send_bombs_without_token,
    ),
    Attack("bombs", "the same with a token", _send_bombs),
    Attack(
        "large_without_token",
        f"{STREAMS} requests of 20 to 31 MiB at once on {CONNECTIONS} connections without a token",
        _send_large_requests,
    ),
)
