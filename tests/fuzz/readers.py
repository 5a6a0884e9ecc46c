"""Fuzz every wire with mutated recordings: any input must yield events or a GatewayError, in bounded memory.

A stream whose events were rearranged must moreover yield exactly its content, or an error.

Usage: make fuzz [SECONDS=10] [ARGS="--seed 7 --case 1234"]. Seed and number determine a case, so that a failing one
can be run again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from time import monotonic
from traceback import format_exception

from aimanager_server.core.errors import GatewayError
from aimanager_server.core.response import Event, Finished, PartCompleted
from aimanager_server.core.usage import Usage
from aimanager_server.providers.endpoints.gemini_embeddings import GeminiEmbeddings
from aimanager_server.providers.endpoints.model_listing import parse_page
from aimanager_server.providers.endpoints.openai_embeddings import OpenAIEmbeddings
from aimanager_server.providers.wires.wire import Wire
from tests.fuzz.mutations import mutated_json, mutated_stream
from tests.fuzz.stream_structure import check_structure
from tests.support.chat_completions import recorded
from tests.support.embeddings import base64_vector, embeddings_response
from tests.support.recordings import BODIES, STREAMS, WIRES

STATUSES = (200, 302, 400, 401, 402, 403, 404, 408, 413, 418, 422, 429, 500, 503, 529, 599)
MAX_GROWTH = 20
"""The maximum size of the events relative to the input. Content appears in both a delta and its part."""
GROWTH_ALLOWANCE = 200_000
MAX_COUNT = 2**63 - 1
"""The largest integer of the API."""


class Defect(Exception):
    """The result is invalid, but no error was raised."""


@dataclass(frozen=True, slots=True)
class Case:
    """One mutated input and the function that reads it."""

    name: str
    data: bytes
    read: Callable[[bytes, Random], object]


def random_case(random: Random) -> Case:
    """Return a random case."""
    if random.random() < 0.3:
        return Case("structure of a stream", b"", _check_structure)
    folder, name = random.choice((*STREAMS, *BODIES))
    if random.random() < 0.1:
        return _endpoint_case(random)
    wire = WIRES[folder]
    if name.endswith(".sse"):
        other = random.choice([other for other_folder, other in STREAMS if other_folder == folder])
        return Case(name, mutated_stream(recorded(name), recorded(other), random), _stream_reader(wire))
    data = mutated_json(recorded(name), random)
    if random.random() < 0.3:
        return Case(f"{name} as an error", data, _error_mapper(wire))
    return Case(name, data, lambda body, _: wire.decode(body))


def _check_structure(_: bytes, random: Random) -> None:
    check_structure(random, counts_steps=random.random() < 0.1)


def _endpoint_case(random: Random) -> Case:
    openai = embeddings_response(base64_vector(1.0, 2.0), [0.5, 1.5])
    model_list = b'{"data": [{"id": "m", "context_length": 5, "display_name": "M"}], "has_more": true, "last_id": "m"}'
    gemini = b'{"embeddings": [{"values": [0.5, 1.5]}]}'
    name, data, read = random.choice(
        [
            ("embeddings", openai, OpenAIEmbeddings().decode),
            ("Gemini embeddings", gemini, GeminiEmbeddings(lambda model: None).decode),
            ("model list", model_list, lambda body: parse_page("upstream", body)),
        ]
    )
    return Case(name, mutated_json(data, random), lambda body, _: read(body))


def _stream_reader(wire: Wire) -> Callable[[bytes, Random], object]:
    def read(data: bytes, random: Random) -> list[Event]:
        reader, events, at = wire.stream_reader(), [], 0
        while at < len(data):
            size = random.choice((1, 7, 100, 4096, len(data)))
            events += reader.feed(data[at : at + size])
            at += size
        return events + reader.end()

    return read


def _error_mapper(wire: Wire) -> Callable[[bytes, Random], object]:
    def read(data: bytes, random: Random) -> object:
        delay = random.choice(("", "1", "-1", "nan", "1e999", "²", "Wed, 21 Oct 2026 07:28:00 GMT", "x" * 1000))
        headers: Mapping[str, str] = {"retry-after": delay, "retry-after-ms": delay} if delay else {}
        raise wire.error(random.choice(STATUSES), headers, data)

    return read


def check(case: Case, random: Random) -> None:
    """Read a case. Raises Defect for an invalid result, and any error other than GatewayError."""
    try:
        found = case.read(case.data, random)
    except GatewayError as error:
        _encoded_size(error.message)
        _encoded_size(error.solution)
        _check_counts(error.usage)
        return
    if not isinstance(found, list):
        return
    if not found or not isinstance(found[-1], Finished):
        raise Defect("the response has no Finished event")
    _check_counts(found[-1].usage)
    _encoded_size(found[-1].provider_reason)
    size = sum(_size(event) for event in found)
    if size > MAX_GROWTH * len(case.data) + GROWTH_ALLOWANCE:
        raise Defect(f"{len(case.data)} bytes became {size} bytes of events")


def _size(event: Event) -> int:
    value = event.part if isinstance(event, PartCompleted) else event
    fields = (getattr(value, name) for name in value.__slots__)
    return sum(_encoded_size(field) for field in fields if isinstance(field, str))


def _encoded_size(text: str) -> int:
    """Return the size in UTF-8. Raises ValueError if the API cannot encode the text."""
    return len(text.encode())


def _check_counts(usage: Usage | None) -> None:
    counts = [value for value in map(usage.__getattribute__, usage.__slots__) if type(value) is int] if usage else []
    if any(not 0 <= count <= MAX_COUNT for count in counts):
        raise Defect(f"invalid token counts {counts}")


def fuzz(seconds: float, seed: int, only: int | None = None) -> tuple[int, str]:
    """Return the number of cases run within that time, and the defect of the last one; empty without a defect."""
    until, number = monotonic() + seconds, 0
    for number in range(10**9) if only is None else [only]:
        random = Random(f"{seed}/{number}")
        case = random_case(random)
        try:
            check(case, random)
        except Exception as error:
            trace = "".join(format_exception(error)[-3:])
            return number + 1, f"--seed {seed} --case {number}: {case.name}: {case.data[:2000]!r}\n{trace}"
        if monotonic() > until:
            break
    return number + 1, ""


def main(arguments: list[str]) -> int:
    """Run the fuzzer and return the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, default=None)
    given = parser.parse_args(arguments)
    count, defect = fuzz(given.seconds, given.seed, given.case)
    print(
        f"fuzz: {defect}" if defect else f"fuzz: no defects in {count} cases", file=sys.stderr if defect else sys.stdout
    )
    return 1 if defect else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
