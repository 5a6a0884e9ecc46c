"""Mutates recorded answers of every wire: whatever a provider sends, there are events or a Fault, and bounded memory.

Usage: make fuzz [SECONDS=10] [ARGS="--seed 7 --case 1234"]. A case is told by its seed and number alone, so that one
that fails can be run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from time import monotonic
from traceback import format_exception
from typing import Any

from aimanager_server.core.errors import GatewayError
from aimanager_server.core.response import Event, Finished, PartCompleted
from aimanager_server.core.usage import Usage
from aimanager_server.providers.endpoints.gemini_embeddings import GeminiEmbeddings
from aimanager_server.providers.endpoints.model_listing import page_of
from aimanager_server.providers.endpoints.openai_embeddings import ChatEmbeddings
from aimanager_server.providers.factory import unknown
from aimanager_server.providers.wires.dialect import Dialect
from tests.support.chat_completions import fixture
from tests.support.embeddings import packed, vectors_answer
from tests.support.recordings import BODIES, STREAMS, WIRES

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e300, float("inf"), float("-inf"), float("nan"), 10**30, -(10**30), 10**4200),
    *("", "\ud800", "a\udc00b", "²²²", "\0", "429", "error", "stop", "x" * 10_000, "[DONE]", "\u2028"),
    *([], {}, [None], [[]], {"error": "no"}, {"text": "\ud83d"}, [{"type": "text", "text": "\udfff"}]),
    *(json.loads("[" * depth + "]" * depth) for depth in (150, 250, 400)),
)
BYTES = (b"\r", b"\n\n", b"\r\n\r\n", b"\xff", b"\x00", b"\xef\xbb\xbf", b"data: [DONE]\n\n", b"data:\n\n", b"[" * 5000)
STATUSES = (200, 302, 400, 401, 402, 403, 404, 408, 413, 418, 422, 429, 500, 503, 529, 599)
MOST_GROWTH = 20
"""How many times its own size an answer may take as events: each piece is told as a fragment and in its part."""
SPARE = 200_000
LARGEST_COUNT = 2**63 - 1
"""The most that the API can carry."""


class Defect(Exception):
    """What came out is no answer, although nothing was raised."""


@dataclass(frozen=True, slots=True)
class Case:
    """One mutated input, and what reads it."""

    name: str
    data: bytes
    read: Callable[[bytes, Random], object]


def cases(random: Random) -> Case:
    """A case by chance."""
    wire, name = random.choice((*STREAMS, *BODIES))
    if random.random() < 0.1:
        return _beside(random)
    dialect = WIRES[wire]
    if name.endswith(".sse"):
        other = random.choice([other for other_wire, other in STREAMS if other_wire == wire])
        return Case(name, _mutated_stream(fixture(name), fixture(other), random), _streamed(dialect))
    data = _mutated(fixture(name), random)
    if random.random() < 0.3:
        return Case(f"{name} as a refusal", data, _refused(dialect))
    return Case(name, data, lambda body, _: dialect.decode(body))


def _beside(random: Random) -> Case:
    texts = vectors_answer(packed(1.0, 2.0), [0.5, 1.5])
    listed = b'{"data": [{"id": "m", "context_length": 5, "display_name": "M"}], "has_more": true, "last_id": "m"}'
    google = b'{"embeddings": [{"values": [0.5, 1.5]}]}'
    name, data, read = random.choice(
        [
            ("vectors", texts, ChatEmbeddings().decode),
            ("vectors of Gemini", google, GeminiEmbeddings(unknown).decode),
            ("list of models", listed, lambda body: page_of("upstream", body)),
        ]
    )
    return Case(name, _mutated(data, random), lambda body, _: read(body))


def _streamed(dialect: Dialect) -> Callable[[bytes, Random], object]:
    def read(data: bytes, random: Random) -> list[Event]:
        reader, events, at = dialect.reader(), [], 0
        while at < len(data):
            size = random.choice((1, 7, 100, 4096, len(data)))
            events += reader.feed(data[at : at + size])
            at += size
        return events + reader.end()

    return read


def _refused(dialect: Dialect) -> Callable[[bytes, Random], object]:
    def read(data: bytes, random: Random) -> object:
        advice = random.choice(("", "1", "-1", "nan", "1e999", "²", "Wed, 21 Oct 2026 07:28:00 GMT", "x" * 1000))
        headers: Mapping[str, str] = {"retry-after": advice, "retry-after-ms": advice} if advice else {}
        raise dialect.error(random.choice(STATUSES), headers, data)

    return read


def _mutated_stream(stream: bytes, other: bytes, random: Random) -> bytes:
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
                blocks[at] = _mutated_bytes(blocks[at], random)
            case _:
                head, field, data = blocks[at].partition(b"data: ")
                blocks[at] = head + field + (_mutated(data, random) if field else data)
    return random.choice((b"\n\n", b"\n\n", b"\n\n", b"\r\n\r\n", b"\r\r")).join(blocks)


def _mutated(data: bytes, random: Random) -> bytes:
    """A JSON text with some values changed; other bytes, or one in ten, with some bytes changed."""
    if random.random() < 0.1:
        return _mutated_bytes(data, random)
    try:
        value = json.loads(data)
        for _ in range(random.choice((1, 1, 2, 5))):
            value = _mutated_value(value, random)
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return _mutated_bytes(data, random)


def _mutated_value(value: Any, random: Random) -> Any:
    places = list(_places(value))
    if not places:
        return _copied(random.choice(NASTY))
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
    return _copied(value)


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            waiting.append(holder[key])


def _mutated_bytes(data: bytes, random: Random) -> bytes:
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


def check(case: Case, random: Random) -> None:
    """Read it. Raises whatever it should not have raised, or Defect."""
    try:
        found = case.read(case.data, random)
    except GatewayError as fault:
        _carried(fault.message)
        _carried(fault.solution)
        _counted(fault.usage)
        return
    if not isinstance(found, list):
        return
    if not found or not isinstance(found[-1], Finished):
        raise Defect("the answer has no end")
    _counted(found[-1].usage)
    _carried(found[-1].provider_reason)
    size = sum(_size(event) for event in found)
    if size > MOST_GROWTH * len(case.data) + SPARE:
        raise Defect(f"{len(case.data)} bytes became events of {size}")


def _size(event: Event) -> int:
    told = event.part if isinstance(event, PartCompleted) else event
    fields = (getattr(told, name) for name in told.__slots__)
    return sum(_carried(field) for field in fields if isinstance(field, str))


def _carried(text: str) -> int:
    """Its bytes. Raises ValueError where the API could not carry it."""
    return len(text.encode())


def _counted(usage: Usage | None) -> None:
    counts = [value for value in map(usage.__getattribute__, usage.__slots__) if type(value) is int] if usage else []
    if any(not 0 <= count <= LARGEST_COUNT for count in counts):
        raise Defect(f"no count can be {counts}")


def fuzz(seconds: float, seed: int, only: int | None = None) -> tuple[int, str]:
    """How many cases were run within that time, and what is wrong with the last of them; empty where nothing is."""
    until, number = monotonic() + seconds, 0
    for number in range(10**9) if only is None else [only]:
        random = Random(f"{seed}/{number}")
        case = cases(random)
        try:
            check(case, random)
        except Exception as error:
            trace = "".join(format_exception(error)[-3:])
            return number + 1, f"--seed {seed} --case {number}: {case.name}: {case.data[:2000]!r}\n{trace}"
        if monotonic() > until:
            break
    return number + 1, ""


def main(arguments: list[str]) -> int:
    """Fuzz; the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, default=None)
    given = parser.parse_args(arguments)
    count, defect = fuzz(given.seconds, given.seed, given.case)
    print(f"fuzz: {defect}" if defect else f"fuzz: good, {count} cases", file=sys.stderr if defect else sys.stdout)
    return 1 if defect else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
