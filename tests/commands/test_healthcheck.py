"""The container health check."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from aimanager_server.commands import healthcheck
from tests.support.certificates import Certificates
from tests.support.rpc import REQUEST, BlockingHandler, build_server, callers, running, server_settings


async def run_check(*arguments: str) -> int:
    return await asyncio.to_thread(healthcheck.main, arguments)


async def test_a_ready_server_passes_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    async with running(build_server(settings=server_settings(callers=callers("ann")))) as gateway:
        code = await run_check("--address", f"127.0.0.1:{gateway.server.port}", "--timeout", "10")

    assert (code, capsys.readouterr().err) == (0, "")


async def test_a_draining_server_fails_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    handler = BlockingHandler()
    server = build_server(handler)
    async with running(server) as gateway:
        in_flight = asyncio.ensure_future(gateway.generation.Generate(REQUEST))
        await handler.entered.wait()
        draining = asyncio.ensure_future(server.drain())
        code = await run_check("--address", f"127.0.0.1:{server.port}", "--timeout", "10")
        handler.release.set()
        await asyncio.gather(in_flight, draining)

    assert code == 1
    assert capsys.readouterr().err.endswith("readiness is NOT_SERVING\n")


async def test_an_unreachable_server_is_reported_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    server = build_server()
    async with running(server):
        pass

    code = await run_check("--address", f"127.0.0.1:{server.port}", "--timeout", "10")

    message = capsys.readouterr().err
    assert code == 1
    assert message.startswith(f"127.0.0.1:{server.port}: UNAVAILABLE: ")
    assert message.count("\n") == 1


async def test_the_check_connects_with_tls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    server = build_server(settings=server_settings({"tls": certificates.tls}))
    async with running(server):
        address = f"localhost:{server.port}"
        code = await run_check("--address", address, "--tls-ca", str(certificates.ca_file), "--timeout", "10")

    assert code == 0


async def test_an_unreadable_ca_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = await run_check("--tls-ca", str(tmp_path / "none.pem"))

    assert code == 1
    assert "none.pem" in capsys.readouterr().err


async def test_the_check_runs_as_a_module_without_importing_the_server() -> None:
    async with running(build_server()) as gateway:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys, runpy\n"
            "try: runpy.run_module('aimanager_server.commands.healthcheck', run_name='__main__')\n"
            "finally: print(*{'httpx', 'pydantic', 'structlog', 'aimanager_server.rpc'} & set(sys.modules))",
            "--address",
            f"127.0.0.1:{gateway.server.port}",
            "--timeout",
            "10",
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()

    assert (process.returncode, output.strip()) == (0, b"")
