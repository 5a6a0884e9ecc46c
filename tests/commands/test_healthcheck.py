"""The probe that containers run."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme
from grpc_health.v1.health_pb2 import HealthCheckResponse

from aimanager_server.commands import healthcheck as probe
from tests.support.rpc import QUESTION, Waiting, build, callers, serving, settings

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Authority:
    """Certificates in files, and a client that trusts them."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.client_ca, self.stranger = trustme.CA(), trustme.CA(), trustme.CA()
        certificate = self.ca.issue_cert("localhost")
        self.tls = {
            "certificate_file": str(self._write(folder / "chain.pem", certificate.cert_chain_pems)),
            "key_file": str(self._write(folder / "key.pem", [certificate.private_key_pem])),
        }
        self.ca_file = self._write(folder / "ca.pem", [self.ca.cert_pem])
        client_ca = self._write(folder / "client-ca.pem", [self.client_ca.cert_pem])
        self.mutual = {**self.tls, "client_ca_file": str(client_ca)}

    def _write(self, file: Path, blobs: list[Any]) -> Path:
        file.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return file

    def channel(self, port: int, issuer: trustme.CA | None = None, name: str = "ann") -> grpc.aio.Channel:
        """A channel that trusts the server, with a certificate of `issuer` for `name`."""
        certificate = issuer.issue_cert(f"{name}.test", common_name=name) if issuer else None
        credentials = grpc.ssl_channel_credentials(
            self.ca.cert_pem.bytes(),
            certificate.private_key_pem.bytes() if certificate else None,
            b"".join(blob.bytes() for blob in certificate.cert_chain_pems) if certificate else None,
        )
        return grpc.aio.secure_channel(f"localhost:{port}", credentials)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def probed(*arguments: str) -> int:
    return await asyncio.to_thread(probe.main, arguments)


async def test_the_probe_says_yes_to_a_ready_server(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(build(chosen=settings(callers=callers("ann")))) as world:
        code = await probed("--address", f"127.0.0.1:{world.server.port}", "--timeout", "10")

    assert (code, capsys.readouterr().err) == (0, "")


async def test_the_probe_says_no_to_a_server_that_drains(capsys: pytest.CaptureFixture[str]) -> None:
    handler = Waiting()
    server = build(handler)
    async with serving(server) as world:
        under_way = asyncio.ensure_future(world.generation.Generate(QUESTION))
        await handler.entered.wait()
        draining = asyncio.ensure_future(server.drain())
        code = await probed("--address", f"127.0.0.1:{server.port}", "--timeout", "10")
        handler.go.set()
        await asyncio.gather(under_way, draining)

    assert code == 1
    assert capsys.readouterr().err.endswith("readiness is NOT_SERVING\n")


async def test_the_probe_says_in_one_line_why_it_reached_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    server = build()
    async with serving(server):
        pass

    code = await probed("--address", f"127.0.0.1:{server.port}", "--timeout", "10")

    said = capsys.readouterr().err
    assert code == 1
    assert said.startswith(f"127.0.0.1:{server.port}: UNAVAILABLE: ")
    assert said.count("\n") == 1


async def test_the_probe_speaks_tls(authority: Authority) -> None:
    server = build(chosen=settings({"tls": authority.tls}))
    async with serving(server):
        address = f"localhost:{server.port}"
        code = await probed("--address", address, "--tls-ca", str(authority.ca_file), "--timeout", "10")

    assert code == 0


async def test_the_probe_names_a_file_it_cannot_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = await probed("--tls-ca", str(tmp_path / "none.pem"))

    assert code == 1
    assert "none.pem" in capsys.readouterr().err


async def test_the_probe_runs_as_a_module_and_loads_no_server() -> None:
    async with serving(build()) as world:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys, runpy\n"
            "try: runpy.run_module('aimanager_server.commands.healthcheck', run_name='__main__')\n"
            "finally: print(*{'httpx', 'pydantic', 'structlog', 'aimanager_server.rpc'} & set(sys.modules))",
            "--address",
            f"127.0.0.1:{world.server.port}",
            "--timeout",
            "10",
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()

    assert (process.returncode, said.strip()) == (0, b"")
