"""Places on this machine where a connection comes to nothing, and a look at the sockets of this process."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.http_servers.loopback import listening

SYN_SENT = "02"
OPEN_FILES = Path("/proc/self/fd")
TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
CAN_LOOK = OPEN_FILES.exists() and TABLES[0].exists()


def has_ipv6() -> bool:
    """This machine has ::1."""
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as one:
        one.bind(("::1", 0))
        return True
    return False


@contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that answers no more connections, neither yes nor no: its backlog is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener, socket.socket(family, socket.SOCK_STREAM) as filler:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        filler.connect(listener.getsockname())
        yield listener.getsockname()[1]


@asynccontextmanager
async def silent_server() -> AsyncIterator[SilentServer]:
    """A port that takes connections and never says a word."""
    silent = SilentServer()
    async with listening(silent.serve) as silent.port:
        yield silent


class SilentServer:
    """`came` is set with the first connection, `gone` once a client hung up."""

    def __init__(self) -> None:
        self.port = 0
        self.came = asyncio.Event()
        self.gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read to the end."""
        self.came.set()
        with suppress(ConnectionError):
            while await reader.read(4096):
                pass
        self.gone.set()


def connecting(port: int) -> int:
    """How many sockets of this machine are trying to reach the port."""
    lines = [line.split() for table in TABLES if table.exists() for line in table.read_text().splitlines()[1:]]
    return sum(fields[3] == SYN_SENT and fields[2].endswith(f":{port:04X}") for fields in lines)


def sends_at_once_to(port: int) -> list[bool]:
    """Of each socket of this process whose other end is the port: whether small pieces leave it without delay."""
    return [_sends_at_once(one) for one in _sockets() if _port_of(one.getpeername) == port]


def sends_at_once_from(port: int) -> list[bool]:
    """The same of each connected socket whose own end is the port."""
    return [
        _sends_at_once(one) for one in _sockets() if _port_of(one.getsockname) == port and _port_of(one.getpeername)
    ]


def infos(*addresses: str, port: int) -> Sequence[tuple[Any, ...]]:
    """What getaddrinfo says of a name with these addresses."""
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
        if ":" in address
        else (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
        for address in addresses
    ]


def _sockets() -> Iterator[socket.socket]:
    for number in os.listdir(OPEN_FILES):
        with suppress(OSError):
            if os.readlink(OPEN_FILES / number).startswith("socket:"):
                copy = socket.socket(fileno=os.dup(int(number)))
                with copy:
                    yield copy


def _sends_at_once(one: socket.socket) -> bool:
    return bool(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def _port_of(name: Any) -> int:
    try:
        address = name()
    except OSError:
        return 0
    return address[1] if isinstance(address, tuple) else 0
