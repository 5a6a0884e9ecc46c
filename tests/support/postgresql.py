"""A real PostgreSQL server for tests, started as an unprivileged user on a port of its own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MISSING = "needs PostgreSQL: apt-get install postgresql"
SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=60", "listen_addresses=127.0.0.1")


@dataclass(frozen=True)
class PostgreSQL:
    """A server, with the folder of its programs."""

    programs: Path
    port: int
    data: Path
    user: str | None

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{secrets.token_hex(8)}"
        _run([self.programs / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "test", name], None)
        return f"postgresql+asyncpg://test@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start the server."""
        settings = (*SETTINGS, f"port={self.port}", f"unix_socket_directories={self.data}")
        options = " ".join(f"-c {setting}" for setting in settings)
        _run([*self._control, "-o", options, "start"], self.user)

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        _run([*self._control, "-m", "immediate", "stop"], self.user)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no process of the server run within the block: connections stay open, and nothing is answered."""
        server = int((self.data / "db" / "postmaster.pid").read_text().split()[0])
        os.kill(server, signal.SIGSTOP)  # first, so that it starts no more of them
        processes = [server, *_children(server)]
        try:
            for process in processes[1:]:
                os.kill(process, signal.SIGSTOP)
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    @property
    def _control(self) -> Sequence[str | Path]:
        return [self.programs / "pg_ctl", "-D", self.data / "db", "-w", "-l", self.data / "log"]


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """Run a server. Skips the test if PostgreSQL is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip(MISSING)
    user = _unprivileged_user()
    data = Path(tempfile.mkdtemp(prefix="aimanager-postgresql-"))
    server = PostgreSQL(programs, _free_port(), data, user)
    try:
        if user is not None:
            os.chown(data, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        _run([programs / "initdb", "-D", data / "db", "-A", "trust", "-U", "test", "-E", "UTF8", "--no-sync"], user)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _programs() -> Path | None:
    """Return the folder with `initdb`, None if PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


def _run(command: Sequence[str | Path], user: str | None) -> None:
    # Not with `user=`, which forks a process that may run gRPC's threads.
    as_user = [] if user is None else ["runuser", "-u", user, "--"]
    # Not a pipe: the server inherits it, and reading it would never end.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run([*as_user, *map(str, command)], stdout=output, stderr=output, cwd="/")
        output.seek(0)
        assert done.returncode == 0, f"{done.returncode}: {output.read()}"


def _children(process: int) -> Sequence[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _unprivileged_user() -> str | None:
    """Return the user that runs the server, which refuses to run as root; None if this process can run it."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
