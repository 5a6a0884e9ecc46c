"""Fuzz the HTTP transport with mutated responses: no crash, no hang, only documented errors, a consistent pool.

Usage: make fuzz [SECONDS=10] [ARGS="--seed 7 --case 1234"]. Seed and number determine a case, so that a failing one
can be run again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from random import Random
from time import monotonic
from traceback import format_exception
from typing import Any

import httpx
import uvloop

from aimanager_server.core.errors import GatewayError
from aimanager_server.providers.http.transport import HttpTransport
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support.http_servers.loopback import loopback_server
from tests.support.http_servers.raw import http_response
from tests.support.http_transport import http_transport
from tests.support.odd_responses import ODD_RESPONSES

SEEDS = [b"".join(step for step in script if isinstance(step, bytes))[:5000] for script in ODD_RESPONSES.values()]
TOKENS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b":",
        b";",
        b",",
        b"0\r\n\r\n",
        b"\r\n\r\n",
        b"\xff",
        b"1\r\nx\r\n",
        b"ffffffff",
    ),
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.0 "),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 2\r\n", b"Connection: close\r\n", b"X: y\r\n" * 300),
    *(b"Content-Length: 99999999999\r\n", b"Upgrade: x\r\nConnection: upgrade\r\n", b"x" * 70_000),
)
HANG_SECONDS = 5.0
OPEN_SECONDS = 0.02
"""The deadline of a case whose server leaves the connection open, where an incomplete response is not a defect."""


class Defect(Exception):
    """The transport broke its contract."""


@dataclass(frozen=True, slots=True)
class Case:
    """The segments that the server sends, and whether it then closes the connection."""

    segments: tuple[bytes, ...]
    closes: bool
    through_httpx: bool
    method: str


def random_case(random: Random) -> Case:
    """Return a mutated response, in one segment or several."""
    data = random.choice(SEEDS)
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        data = _mutated(data, random)
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((0, 0, 0, 1, 3))))
    segments = tuple(data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True))
    method = random.choice(("GET", "GET", "GET", "POST", "HEAD"))
    return Case(segments, random.random() < 0.9, random.random() < 0.5, method)


def _mutated(data: bytes, random: Random) -> bytes:
    at, size = random.randrange(len(data) + 1), random.choice((1, 1, 2, 10, 100))
    match random.randrange(6):
        case 0:
            return data[:at] + data[at + size :]
        case 1:
            return data[:at] + data[at : at + size] * 3 + data[at + size :]
        case 2:
            return data[:at] + random.randbytes(min(size, 10)) + data[at + size :]
        case 3:
            return data + random.choice(SEEDS)
        case _:
            return data[:at] + random.choice(TOKENS) + data[at:]


class Fuzzer:
    """A server that plays one case after another, and the transports under test."""

    def __init__(self) -> None:
        self._case: Case | None = None
        self._port = 0
        self._control = 0
        self._callback_errors: list[dict[str, Any]] = []

    async def fuzz(self, seconds: float, seed: int, only: int | None) -> tuple[int, str]:
        """Return the number of cases run within that time, and the defect of the last one; empty without a defect."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._callback_errors.append(context))
        until, number = monotonic() + seconds, 0
        async with loopback_server(self._serve) as self._port:
            reusing, closing = http_transport(), http_transport(max_idle_connections=0)
            for number in range(10**9) if only is None else [only]:
                case = random_case(Random(f"{seed}/{number}"))
                try:
                    # A surplus segment may arrive after the next request was sent, so its connection is not reused.
                    await self._check(reusing if len(case.segments) == 1 else closing, case)
                except Exception as error:
                    trace = "".join(format_exception(error)[-3:])
                    return number + 1, f"--seed {seed} --case {number}: {case!r:.2000}\n{trace}"
                if monotonic() > until:
                    break
            await reusing.aclose()
            await closing.aclose()
        return number + 1, ""

    async def _check(self, transport: HttpTransport, case: Case) -> None:
        self._case = case
        deadline = asyncio.get_running_loop().time() + (HANG_SECONDS if case.closes else OPEN_SECONDS)
        try:
            await (self._request_through_httpx if case.through_httpx else self._request)(transport, case, deadline)
        except TimeoutError:
            if case.closes:
                raise Defect("the exchange hangs") from None
        except (GatewayError, httpx.TransportError):
            pass
        if transport.pool.exchanges_in_flight:
            raise Defect("the exchange was not released")
        await self._check_control(transport)
        if self._callback_errors:
            raise Defect(f"a callback failed: {self._callback_errors[0]}")

    async def _check_control(self, transport: HttpTransport) -> None:
        """Check that the next request receives its own response."""
        self._case, self._control = None, self._control + 1
        deadline = asyncio.get_running_loop().time() + HANG_SECONDS
        response = await transport.send(HttpRequest("GET", f"http://127.0.0.1:{self._port}/control", {}), deadline)
        body = b""
        while data := await response.body.read(deadline):
            body += data
        await response.body.aclose()
        if body != str(self._control).encode():
            raise Defect(f"the next request received {body[:100]!r}")

    async def _request(self, transport: HttpTransport, case: Case, deadline: float) -> None:
        request = HttpRequest(case.method, f"http://127.0.0.1:{self._port}/", {})
        response = await transport.send(request, deadline)
        try:
            while await response.body.read(deadline):
                pass
        finally:
            await response.body.aclose()

    async def _request_through_httpx(self, transport: HttpTransport, case: Case, deadline: float) -> None:
        request = httpx.Request(case.method, f"http://127.0.0.1:{self._port}/")
        async with asyncio.timeout_at(deadline):
            response = await transport.handle_async_request(request)
            try:
                async for _ in response.aiter_raw():
                    pass
            finally:
                await response.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            case = self._case
            if case is None:
                writer.write(http_response(str(self._control).encode()))
                continue
            for segment in case.segments:
                if writer.is_closing():
                    return
                writer.write(segment)
                await asyncio.sleep(0)
            if case.closes:
                return


def main(arguments: list[str]) -> int:
    """Run the fuzzer and return the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, default=None)
    given = parser.parse_args(arguments)
    count, defect = uvloop.run(Fuzzer().fuzz(given.seconds, given.seed, given.case))
    print(
        f"fuzz: {defect}" if defect else f"fuzz: no defects in {count} HTTP responses",
        file=sys.stderr if defect else sys.stdout,
    )
    return 1 if defect else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
