"""TLS and client certificates."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.config.errors import StartupError
from tests.support.certificates import Certificates
from tests.support.rpc import CANARY, REQUEST, RecordingHandler, bearer, build_server, callers, running, server_settings
from tests.support.rpc_errors import failure_of


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def test_provider_keys_are_accepted_over_tls(certificates: Certificates) -> None:
    handler = RecordingHandler()
    server = build_server(handler, server_settings({"tls": certificates.tls}))
    async with running(server), certificates.channel(server.port) as channel:
        metadata = (("x-provider-key-claude", CANARY),)
        await GenerationServiceStub(channel).Generate(REQUEST, metadata=metadata)

    assert handler.calls[0].caller.provider_keys == {"claude": CANARY}


async def test_a_tls_server_rejects_plaintext(certificates: Certificates) -> None:
    async with running(build_server(settings=server_settings({"tls": certificates.tls}))) as gateway:
        failure = await failure_of(gateway.generation.Generate(REQUEST, timeout=5))

    assert failure.code is grpc.StatusCode.UNAVAILABLE


async def test_a_verified_client_certificate_identifies_the_caller(certificates: Certificates) -> None:
    handler = RecordingHandler()
    settings = server_settings({"tls": certificates.mutual_tls}, callers=callers("ann", "bob"))
    server = build_server(handler, settings)
    async with running(server), certificates.channel(server.port, certificates.client_ca, "bob") as channel:
        await GenerationServiceStub(channel).Generate(REQUEST)

    assert handler.calls[0].caller.name == "bob"


async def test_a_token_takes_precedence_over_a_client_certificate(certificates: Certificates) -> None:
    handler = RecordingHandler()
    server = build_server(handler, server_settings({"tls": certificates.mutual_tls}, callers=callers("ann", "bob")))
    async with running(server), certificates.channel(server.port, certificates.client_ca, "bob") as channel:
        await GenerationServiceStub(channel).Generate(REQUEST, metadata=bearer("ann"))

    assert handler.calls[0].caller.name == "ann"


async def test_a_client_certificate_of_an_unknown_caller_is_rejected(certificates: Certificates) -> None:
    server = build_server(settings=server_settings({"tls": certificates.mutual_tls}, callers=callers("ann")))
    async with running(server), certificates.channel(server.port, certificates.client_ca, "eve") as channel:
        failure = await failure_of(GenerationServiceStub(channel).Generate(REQUEST))

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID")


@pytest.mark.parametrize("issuer", [lambda one: one.untrusted_ca, lambda one: None], ids=["untrusted", "none"])
async def test_an_untrusted_or_missing_client_certificate_cannot_connect(
    certificates: Certificates, issuer: Callable[[Certificates], trustme.CA | None]
) -> None:
    server = build_server(settings=server_settings({"tls": certificates.mutual_tls}, callers=callers("ann")))
    async with running(server), certificates.channel(server.port, issuer(certificates), "ann") as channel:
        failure = await failure_of(GenerationServiceStub(channel).Generate(REQUEST, metadata=bearer("ann"), timeout=5))

    assert failure.code is grpc.StatusCode.UNAVAILABLE


async def test_a_missing_certificate_file_is_named(certificates: Certificates) -> None:
    server = build_server(settings=server_settings({"tls": certificates.tls}))
    os.unlink(certificates.tls["key_file"])

    with pytest.raises(StartupError, match=r"key\.pem"):
        await server.start()


async def test_an_invalid_certificate_setting_is_named(certificates: Certificates) -> None:
    server = build_server(
        settings=server_settings({"tls": {**certificates.tls, "key_file": str(certificates.ca_file)}})
    )

    with pytest.raises(StartupError, match="certificate_file"):
        await server.start()


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"key_file": "other.pem"}, "server.tls.certificate_file and server.tls.key_file"),
        ({"certificate_file": "garbage.pem"}, "server.tls.certificate_file and server.tls.key_file"),
        ({"client_ca_file": "garbage.pem"}, "server.tls.client_ca_file"),
    ],
)
async def test_unusable_tls_files_are_named(tmp_path: Path, broken: dict[str, str], named: str) -> None:
    certificates = Certificates(tmp_path)
    (tmp_path / "garbage.pem").write_text("garbage")
    other = certificates.untrusted_ca.issue_cert("localhost")
    (tmp_path / "other.pem").write_bytes(other.private_key_pem.bytes())
    tls = {**certificates.mutual_tls, **{name: str(tmp_path / file) for name, file in broken.items()}}

    with pytest.raises(StartupError, match=named):
        await build_server(settings=server_settings({"tls": tls})).start()
