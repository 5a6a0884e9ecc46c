"""TLS, client certificates and the names on them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream
from aimanager_server.rpc.server import CannotListen
from tests.support.rpc import CANARY, HELLO, QUESTION, bearer, build, callers, saying, serving, settings
from tests.support.rpc_errors import refusal


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


class Noting:
    """A handler that keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def __call__(self, call: Call) -> ResponseStream:
        """Answer."""
        self.calls.append(call)
        return await saying(*HELLO)(call)


async def test_over_tls_a_provider_key_may_come_from_anywhere(authority: Authority) -> None:
    handler = Noting()
    server = build(handler, settings({"tls": authority.tls}))
    async with serving(server), authority.channel(server.port) as channel:
        metadata = (("x-provider-key-claude", CANARY),)
        await GenerationServiceStub(channel).Generate(QUESTION, metadata=metadata)

    assert handler.calls[0].caller.provider_keys == {"claude": CANARY}


async def test_a_tls_server_serves_no_plaintext(authority: Authority) -> None:
    async with serving(build(chosen=settings({"tls": authority.tls}))) as world:
        seen = await refusal(world.generation.Generate(QUESTION, timeout=5))

    assert seen.code is grpc.StatusCode.UNAVAILABLE


async def test_a_verified_certificate_names_a_caller(authority: Authority) -> None:
    handler = Noting()
    chosen = settings({"tls": authority.mutual}, callers=callers("ann", "bob"))
    server = build(handler, chosen)
    async with serving(server), authority.channel(server.port, authority.client_ca, "bob") as channel:
        await GenerationServiceStub(channel).Generate(QUESTION)

    assert handler.calls[0].caller.name == "bob"


async def test_a_token_counts_more_than_a_certificate(authority: Authority) -> None:
    handler = Noting()
    server = build(handler, settings({"tls": authority.mutual}, callers=callers("ann", "bob")))
    async with serving(server), authority.channel(server.port, authority.client_ca, "bob") as channel:
        await GenerationServiceStub(channel).Generate(QUESTION, metadata=bearer("ann"))

    assert handler.calls[0].caller.name == "ann"


async def test_a_certificate_that_names_no_caller_is_not_enough(authority: Authority) -> None:
    server = build(chosen=settings({"tls": authority.mutual}, callers=callers("ann")))
    async with serving(server), authority.channel(server.port, authority.client_ca, "eve") as channel:
        seen = await refusal(GenerationServiceStub(channel).Generate(QUESTION))

    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID")


async def test_without_a_list_of_callers_a_certificate_is_its_own_name(authority: Authority) -> None:
    handler = Noting()
    server = build(handler, settings({"tls": authority.mutual, "listen": "0.0.0.0:0"}))
    async with serving(server), authority.channel(server.port, authority.client_ca, "eve") as channel:
        await GenerationServiceStub(channel).Generate(QUESTION)

    assert handler.calls[0].caller.name == "eve"


@pytest.mark.parametrize("issuer", [lambda one: one.stranger, lambda one: None], ids=["stranger's", "none"])
async def test_a_certificate_of_no_accepted_authority_does_not_connect(
    authority: Authority, issuer: Callable[[Authority], trustme.CA | None]
) -> None:
    server = build(chosen=settings({"tls": authority.mutual}, callers=callers("ann")))
    async with serving(server), authority.channel(server.port, issuer(authority), "ann") as channel:
        seen = await refusal(GenerationServiceStub(channel).Generate(QUESTION, metadata=bearer("ann"), timeout=5))

    assert seen.code is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_that_is_gone_is_named(authority: Authority) -> None:
    server = build(chosen=settings({"tls": authority.tls}))
    os.unlink(authority.tls["key_file"])

    with pytest.raises(CannotListen, match=r"key\.pem"):
        await server.start()


async def test_a_certificate_that_is_none_is_named(authority: Authority) -> None:
    server = build(chosen=settings({"tls": {**authority.tls, "key_file": str(authority.ca_file)}}))

    with pytest.raises(CannotListen, match="certificate_file"):
        await server.start()


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"key_file": "stranger.pem"}, "server.tls.certificate_file and server.tls.key_file"),
        ({"certificate_file": "garbage.pem"}, "server.tls.certificate_file and server.tls.key_file"),
        ({"client_ca_file": "garbage.pem"}, "server.tls.client_ca_file"),
    ],
)
async def test_files_that_tls_cannot_use_are_named(tmp_path: Path, broken: dict[str, str], named: str) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "garbage.pem").write_text("garbage")
    stranger = authority.stranger.issue_cert("localhost")
    (tmp_path / "stranger.pem").write_bytes(stranger.private_key_pem.bytes())
    tls = {**authority.mutual, **{name: str(tmp_path / file) for name, file in broken.items()}}

    with pytest.raises(CannotListen, match=named):
        await build(chosen=settings({"tls": tls})).start()
