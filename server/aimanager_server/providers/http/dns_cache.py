"""Finds the addresses of providers, without one whose name server is silent keeping all others waiting."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Thread
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from ...core.handler import Clock

LookUp = Callable[..., Sequence[tuple[Any, ...]]]
"""What `socket.getaddrinfo` is: it blocks, and raises OSError."""

Question = tuple[str, int, int]
Answer = list[ResolveResult] | OSError

FRESH_SECONDS = 10.0
"""How long addresses are used without asking again."""

STALE_SECONDS = 1.0
"""How long addresses from before are used without asking again, where asking was in vain."""

MOST_AT_ONCE = 4
"""Lookups under way at once. They cannot be ended: one that hangs does so until the system gives it up."""

FLAGS = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", -1)


@dataclass(slots=True)
class _Known:
    addresses: deque[ResolveResult] = field(default_factory=deque)
    fresh_until: float = 0.0
    asked_at: float = 0.0
    asking: asyncio.Future[Answer] | None = None


class Addresses(AbstractResolver):
    """The addresses behind names, each name asked for once at a time, in threads of its own.

    The event loop's threads are few and shared by all, so lookups that hang would fill them. Who asks while a lookup
    is under way shares its answer, but one that is older than `seconds` is given up on and another begun. Where a
    lookup fails, or says nothing for half of `seconds`, the addresses known from before are used again; but not where
    the name is said to be gone.
    """

    def __init__(self, seconds: float, look_up: LookUp = socket.getaddrinfo, clock: Clock = time.monotonic) -> None:
        self._seconds = seconds
        self._look_up = look_up
        self._clock = clock
        self._known: dict[Question, _Known] = {}
        self._free = BoundedSemaphore(MOST_AT_ONCE)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses, beginning with another one each time. Raises OSError; has no time limit of its own."""
        question = (host, port, int(family))
        known = self._known.setdefault(question, _Known())
        if self._clock() >= known.fresh_until:
            await self._refresh(known, question)
        addresses = list(known.addresses)
        known.addresses.rotate(-1)
        return addresses

    def doubt(self) -> None:
        """Ask again next time: an address was of no use. It is still better than none."""
        for known in self._known.values():
            known.fresh_until = 0.0

    async def close(self) -> None:
        """Lookups under way are left to themselves: their threads keep no process alive."""

    async def _refresh(self, known: _Known, question: Question) -> None:
        answer = await self._answer(known, question)
        if isinstance(answer, OSError) and (not known.addresses or answer.errno == socket.EAI_NONAME):
            raise answer
        if isinstance(answer, list):
            known.addresses = deque(answer)
        known.fresh_until = self._clock() + (FRESH_SECONDS if isinstance(answer, list) else STALE_SECONDS)

    async def _answer(self, known: _Known, question: Question) -> Answer | None:
        """None where there is none in time, and the addresses from before will do."""
        asking = known.asking
        if asking is None or asking.done() or self._clock() - known.asked_at > self._seconds:
            if not self._free.acquire(blocking=False):
                return socket.gaierror(socket.EAI_AGAIN, f"{MOST_AT_ONCE} lookups are under way and none has ended")
            asking = known.asking = asyncio.get_running_loop().create_future()
            known.asked_at = self._clock()
            Thread(target=self._ask, args=(question, asking), name="look-up", daemon=True).start()
        await asyncio.wait({asking}, timeout=self._seconds / 2 if known.addresses else None)
        return asking.result() if asking.done() else None

    def _ask(self, question: Question, asking: asyncio.Future[Answer]) -> None:
        host, port, family = question
        answer: Answer
        try:
            answer = _read(host, self._look_up(host, port, family=family, type=socket.SOCK_STREAM, flags=FLAGS))
        except (OSError, UnicodeError) as error:
            answer = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "not a host name")
        finally:
            self._free.release()
        # The loop may be closed by now.
        with suppress(RuntimeError):
            asking.get_loop().call_soon_threadsafe(_tell, asking, answer)


def _tell(asking: asyncio.Future[Answer], answer: Answer) -> None:
    if not asking.done():
        asking.set_result(answer)


def _read(host: str, infos: Sequence[tuple[Any, ...]]) -> list[ResolveResult]:
    """The system's answer in the form that aiohttp wants."""
    return [
        {
            "hostname": host,
            "host": f"{address[0]}%{address[3]}" if family == socket.AF_INET6 and address[3] else address[0],
            "port": address[1],
            "family": family,
            "proto": proto,
            "flags": socket.AI_NUMERICHOST,
        }
        for family, _, proto, _, address in infos
    ]
