"""The processes of an attack on loopback: server, provider, victim and attacker. All are killed at the end."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.attack.attack import Attack, LogReader
from tests.support.paths import ROOT
from tests.support.tokens import callers

START_SECONDS = 30.0
POLL_SECONDS = 0.01
PIPE_BYTES = 65536
LOG_LINES = 20
"""Lines of the server's log that are shown if it ended."""

MIB = 1024


class ServerEndedError(Exception):
    """The server exited or does not start. The text has the end of its log."""


class HelperFailedError(Exception):
    """A process of the harness failed. The text has the end of its traceback."""


class Server:
    """A server under attack."""

    def __init__(self, process: Process, log: ServerLog) -> None:
        self._process = process
        self._log = log
        self.port = 0
        self.metrics_port = 0

    async def wait_until_started(self) -> None:
        """Wait for the ports that it bound. Raises ServerEndedError."""
        deadline = time.monotonic() + START_SECONDS
        while not self.port:
            self.check_running()
            if time.monotonic() > deadline:
                raise ServerEndedError(f"the server did not start within {START_SECONDS:g} s: {self._log.end()}")
            events = {line["event"]: line.get("port", 0) for line in self._log.lines()}
            self.port, self.metrics_port = events.get("server.started", 0), events.get("metrics_server.started", 0)
            await asyncio.sleep(POLL_SECONDS)

    def check_running(self) -> None:
        """Raise ServerEndedError if the server exited."""
        if self._process.returncode is not None:
            raise ServerEndedError(f"the server exited with {self._process.returncode}: {self._log.end()}")

    def stop_reading_log(self) -> None:
        """Stop reading the log, or close the pipe, as the attack demands."""
        self._log.stop_reading()

    def reset_peak(self) -> None:
        """Forget the peak of resident memory so far, where the kernel permits it."""
        for pid in self._pids():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    @property
    def resident_mib(self) -> float:
        """Resident memory now, with that of child processes."""
        return sum(_status_mib(pid, "VmRSS") for pid in self._pids())

    @property
    def peak_mib(self) -> float:
        """Peak of resident memory since it was reset, with that of child processes."""
        return sum(_status_mib(pid, "VmHWM") for pid in self._pids())

    def _pids(self) -> list[int]:
        pids = [self._process.pid]
        for pid in pids:
            with suppress(OSError):
                pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return pids


def _status_mib(pid: int, name: str) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    _, found, value = status.partition(f"{name}:")
    return int(value.split()[0]) / MIB if found else 0.0


class ServerLog:
    """The log of a server, read from its pipe into a file until `stop_reading`."""

    def __init__(self, path: Path, reader: LogReader) -> None:
        self._path = path
        self._reader = reader
        self._file = path.open("wb")
        self._pipe, self.writing_end = os.pipe()
        asyncio.get_running_loop().add_reader(self._pipe, self._copy)

    def _copy(self) -> None:
        data = os.read(self._pipe, PIPE_BYTES)
        if not data:
            asyncio.get_running_loop().remove_reader(self._pipe)
        self._file.write(data)
        self._file.flush()

    def stop_reading(self) -> None:
        """Stop reading or close the pipe, unless the reader is one that reads."""
        if self._reader is LogReader.READS:
            return
        asyncio.get_running_loop().remove_reader(self._pipe)
        if self._reader is LogReader.LEAVES:
            os.close(self._pipe)
            self._pipe = -1

    def lines(self) -> list[dict[str, Any]]:
        """Return the complete lines so far that are JSON."""
        found = []
        for line in self._path.read_text().splitlines(keepends=True):
            with suppress(ValueError):
                found.append(json.loads(line))
        return found

    def end(self) -> str:
        """Return the last lines."""
        return "\n".join(self._path.read_text().splitlines()[-LOG_LINES:])

    def close(self) -> None:
        """Close the pipe and the file."""
        if self._pipe >= 0:
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
        self._file.close()


@asynccontextmanager
async def started_server(
    attack: Attack, upstream_port: int, folder: Path, command: tuple[str, ...] = ()
) -> AsyncIterator[Server]:
    """Run `aimanager-server serve` for an attack, through `command` if given. Raises ServerEndedError."""
    config = folder / f"{attack.name}.toml"
    config.write_text(_toml(_sections(attack, upstream_port)))
    log = ServerLog(folder / f"{attack.name}.log", attack.log_reader)
    arguments = (*command, sys.executable, "-m", "aimanager_server", "serve", "--config", str(config))
    try:
        process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=DEVNULL, stderr=log.writing_end)
        os.close(log.writing_end)
        if attack.open_files is not None:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (attack.open_files, attack.open_files))
        async with _killed_at_the_end(process):
            server = Server(process, log)
            await server.wait_until_started()
            yield server
    finally:
        log.close()


def _sections(attack: Attack, upstream_port: int) -> dict[str, dict[str, Any]]:
    upstream = {
        "wire": "chat_completions",
        "base_url": f"http://127.0.0.1:{upstream_port}/v1",
        "api_key": "key-of-the-provider",
        "allow_any_model": True,
        "max_connections": 4000,
    }
    sections: dict[str, dict[str, Any]] = {
        "server": {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"},
        "callers": callers("attacker", "accomplice", "victim"),
        "providers": {"up": upstream},
    }
    for name, values in attack.settings.items():
        added = {
            key: {**upstream, **value} if isinstance(value, dict) and name == "providers" and key != "mock" else value
            for key, value in values.items()
        }
        sections[name] = {**sections.get(name, {}), **added}
    return sections


def _toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_toml_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps(value)


class Helper:
    """A process of the harness, which talks in lines."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def line(self) -> str:
        """Return the next line that it prints. Raises HelperFailedError if it exits instead."""
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise HelperFailedError(await self._error())
        return line.decode().strip()

    def send(self, line: object) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    async def output(self, seconds: float) -> str:
        """Return what it prints until it exits. Raises TimeoutError or HelperFailedError."""
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds):
            output = await self._process.stdout.read()
            if await self._process.wait():
                raise HelperFailedError(await self._error())
        return output.decode()

    async def _error(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()[-2000:]


@asynccontextmanager
async def started_helper(module: str, *arguments: str) -> AsyncIterator[Helper]:
    """Run `python -m MODULE` until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.attack.{module}", *arguments, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    async with _killed_at_the_end(process):
        yield Helper(process)


@asynccontextmanager
async def _killed_at_the_end(process: Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()
