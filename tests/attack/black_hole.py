"""A name server that never answers, and a command whose processes use it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ADDRESS = "127.0.53.53"
PORT = 53
RESOLV_CONF = f"nameserver {ADDRESS}\noptions timeout:5 attempts:2\n"
MOUNT = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


class UnsupportedError(Exception):
    """The machine does not permit it."""


class BlackHole(asyncio.DatagramProtocol):
    """Count queries and answer none."""

    def __init__(self) -> None:
        self.queries = 0
        self.command: tuple[str, ...] = ()
        """Runs another command, given as further arguments, with this name server."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Count a query."""
        self.queries += 1


@asynccontextmanager
async def black_hole(folder: Path) -> AsyncIterator[BlackHole]:
    """Run the name server until the block ends. Raises UnsupportedError."""
    resolv_conf = folder / "resolv.conf"
    resolv_conf.write_text(RESOLV_CONF)
    loop = asyncio.get_running_loop()
    try:
        transport, server = await loop.create_datagram_endpoint(BlackHole, local_addr=(ADDRESS, PORT))
    except OSError as error:
        raise UnsupportedError(f"cannot listen on port 53 of {ADDRESS}: {error.strerror}") from error
    server.command = ("unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(resolv_conf))
    try:
        _check((*server.command, "true"))
        yield server
    finally:
        transport.close()


def _check(command: tuple[str, ...]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnsupportedError("cannot replace /etc/resolv.conf for one process with unshare and mount") from error
