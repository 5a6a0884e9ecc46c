"""Mutate recorded responses: their events, the values of their JSON, or their bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e300, float("inf"), float("-inf"), float("nan"), 10**30, -(10**30), 10**4200),
    *("", "\ud800", "a\udc00b", "²²²", "\0", "429", "error", "stop", "x" * 10_000, "[DONE]", "\u2028"),
    *([], {}, [None], [[]], {"error": "no"}, {"text": "\ud83d"}, [{"type": "text", "text": "\udfff"}]),
    *(json.loads("[" * depth + "]" * depth) for depth in (150, 250, 400)),
)
BYTES = (b"\r", b"\n\n", b"\r\n\r\n", b"\xff", b"\x00", b"\xef\xbb\xbf", b"data: [DONE]\n\n", b"data:\n\n", b"[" * 5000)


def mutated_stream(stream: bytes, other: bytes, random: Random) -> bytes:
    """Return the stream with some events changed, removed, cut off, or inserted from `other`."""
    blocks = stream.split(b"\n\n")
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(blocks))
        match random.randrange(7):
            case 0:
                blocks.insert(at, random.choice(other.split(b"\n\n")))
            case 1:
                del blocks[at:]
                blocks.append(b"")
            case 2:
                blocks[at] = mutated_bytes(blocks[at], random)
            case _:
                head, field, data = blocks[at].partition(b"data: ")
                blocks[at] = head + field + (mutated_json(data, random) if field else data)
    return random.choice((b"\n\n", b"\n\n", b"\n\n", b"\r\n\r\n", b"\r\r")).join(blocks)


def mutated_events(stream: bytes, other: bytes, random: Random) -> bytes:
    """Return the stream with the structure of its events changed; every event stays complete JSON.

    Events are repeated, removed, exchanged or inserted from `other`, parts of the stream are repeated, and values are
    exchanged for values that other events have in the same field.
    """
    blocks = [block for block in stream.split(b"\n\n") if block.strip()]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        at = random.randrange(len(blocks))
        match random.randrange(8):
            case 0:
                blocks.insert(at, blocks[at])
            case 1 if len(blocks) > 1:
                del blocks[at]
            case 2:
                with_other = random.randrange(len(blocks))
                blocks[at], blocks[with_other] = blocks[with_other], blocks[at]
            case 3:
                blocks.insert(at, random.choice([block for block in other.split(b"\n\n") if block.strip()]))
            case 4:
                blocks[at:at] = blocks[: random.randrange(len(blocks)) + 1]
            case _:
                head, field, data = blocks[at].partition(b"data: ")
                donor = random.choice(blocks).partition(b"data: ")[2]
                blocks[at] = head + field + with_other_value(data, donor, random)
    return b"\n\n".join(blocks) + b"\n\n"


def with_other_value(data: bytes, donor: bytes, random: Random) -> bytes:
    """Return JSON with one value removed, or replaced by one of the same field of `donor`, or by a nasty one."""
    try:
        value, source = json.loads(data), json.loads(donor)
    except ValueError:
        return data
    places = list(entries(value))
    if not places:
        return data
    holder, key = random.choice(places)
    same_field = [found[name] for found, name in entries(source) if name == key]
    match random.randrange(4):
        case 0:
            del holder[key]
        case 1:
            holder[key] = random.choice(NASTY[:28])
        case _:
            holder[key] = random.choice(same_field or NASTY[:28])
    return json.dumps(value).encode()


def mutated_json(data: bytes, random: Random) -> bytes:
    """Return JSON with some values changed; for other input, and in a tenth of the cases, with some bytes changed."""
    if random.random() < 0.1:
        return mutated_bytes(data, random)
    try:
        value = json.loads(data)
        for _ in range(random.choice((1, 1, 2, 5))):
            value = _mutated_value(value, random)
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return mutated_bytes(data, random)


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """Return the data with some bytes removed, repeated or inserted."""
    at, size = random.randrange(len(data) + 1), random.choice((1, 1, 10, 1000))
    match random.randrange(4):
        case 0:
            return data[:at] + data[at + size :]
        case 1:
            return data[:at] + data[at : at + size] * 3 + data[at + size :]
        case 2:
            return data[:at] + random.randbytes(min(size, 10)) + data[at + size :]
        case _:
            return data[:at] + random.choice(BYTES) + data[at:]


def entries(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every object and list in the value with each of its keys or positions."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            waiting.append(holder[key])


def _mutated_value(value: Any, random: Random) -> Any:
    places = list(entries(value))
    if not places:
        return _deep_copy(random.choice(NASTY))
    holder, key = random.choice(places)
    match random.randrange(6):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]] * 3
        case 2 if isinstance(holder, list):
            holder.append(holder[key])
        case _:
            holder[key] = random.choice(NASTY)
    return _deep_copy(value)


def _deep_copy(value: Any) -> Any:
    return json.loads(json.dumps(value))
