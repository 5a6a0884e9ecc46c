"""Ports that never answer, and inspection of this machine's sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.http_servers.loopback import loopback_server

SYN_SENT = "02"
OPEN_FILES = Path("/proc/self/fd")
TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
HAS_PROC_NET = OPEN_FILES.exists() and TABLES[0].exists()


def has_ipv6() -> bool:
    """Return whether ::1 is available."""
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Yield a port that neither accepts nor refuses connections, since its backlog is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener, socket.socket(family, socket.SOCK_STREAM) as filler:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        filler.connect(listener.getsockname())
        yield listener.getsockname()[1]


class SilentServer:
    """Accepts connections and never writes. Events are set on the first connection and when a client disconnects."""

    def __init__(self) -> None:
        self.port = 0
        self.connected = asyncio.Event()
        self.disconnected = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read until the client disconnects."""
        self.connected.set()
        with suppress(ConnectionError):
            while await reader.read(4096):
                pass
        self.disconnected.set()


@asynccontextmanager
async def silent_server() -> AsyncIterator[SilentServer]:
    """Run a `SilentServer` on a free port until the block ends."""
    silent = SilentServer()
    async with loopback_server(silent.serve) as silent.port:
        yield silent


def pending_connections(port: int) -> int:
    """Return how many sockets of this machine are in SYN_SENT to the port."""
    lines = [line.split() for table in TABLES if table.exists() for line in table.read_text().splitlines()[1:]]
    return sum(fields[3] == SYN_SENT and fields[2].endswith(f":{port:04X}") for fields in lines)


def nodelay_to(port: int) -> list[bool]:
    """Return TCP_NODELAY of each socket of this process that is connected to the port."""
    return [_nodelay(one) for one in _sockets() if _port(one.getpeername) == port]


def nodelay_from(port: int) -> list[bool]:
    """Return TCP_NODELAY of each connected socket of this process that is bound to the port."""
    return [_nodelay(one) for one in _sockets() if _port(one.getsockname) == port and _port(one.getpeername)]


def address_infos(*addresses: str, port: int) -> Sequence[tuple[Any, ...]]:
    """Return the result of getaddrinfo for a host with these addresses."""
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
        if ":" in address
        else (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
        for address in addresses
    ]


def _sockets() -> Iterator[socket.socket]:
    """Yield a duplicate of each open socket of this process."""
    for number in os.listdir(OPEN_FILES):
        with suppress(OSError):
            if os.readlink(OPEN_FILES / number).startswith("socket:"):
                duplicate = socket.socket(fileno=os.dup(int(number)))
                with duplicate:
                    yield duplicate


def _nodelay(connection: socket.socket) -> bool:
    return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def _port(address_of: Callable[[], Any]) -> int:
    try:
        address = address_of()
    except OSError:
        return 0
    return address[1] if isinstance(address, tuple) else 0
