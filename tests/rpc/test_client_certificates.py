"""Callers that are identified by the names in their client certificates."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from typing import Any

import grpc
import pytest

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.rpc.server import GatewayServer
from tests.support.certificates import Certificates, ClientCertificate
from tests.support.rpc import REQUEST, RecordingHandler, build_server, running, server_settings
from tests.support.rpc_errors import RpcFailure, failure_of
from tests.support.tokens import callers

SPIFFE_ID = "spiffe://example.org/search"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def mutual_tls(certificates: Certificates, handler: RecordingHandler, **sections: Any) -> GatewayServer:
    server = {"tls": certificates.mutual_tls, **sections.pop("server", {})}
    return build_server(handler, server_settings(server, **sections))


async def name_of(certificates: Certificates, certificate: ClientCertificate, **sections: Any) -> str | RpcFailure:
    """The name of the caller with this certificate, or its failure."""
    handler = RecordingHandler()
    server = mutual_tls(certificates, handler, **sections)
    async with running(server), certificates.channel_with(server.port, certificate) as channel:
        try:
            await GenerationServiceStub(channel).Generate(REQUEST, timeout=10)
        except grpc.aio.AioRpcError as error:
            return RpcFailure(error)
    return handler.calls[0].caller.name


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"uris": [SPIFFE_ID], "dns": ["search.example"], "common_name": "search"}, SPIFFE_ID),
        ({"uris": [SPIFFE_ID]}, SPIFFE_ID),
        ({"dns": ["search.example", "other.example"], "common_name": "search"}, "search.example"),
        ({"dns": ["search.example"]}, "search.example"),
        ({"common_name": "search"}, "search"),
        ({"uris": ["https://search.example/"], "common_name": "search"}, "search"),
        ({"uris": [SPIFFE_ID, "spiffe://example.org/other"], "common_name": "search"}, "search"),
        ({"uris": ["spiffe://example.org/" + "x" * 600], "dns": ["search.example"]}, "search.example"),
        ({"common_name": "search\n", "dns": ["search.example"]}, "search.example"),
    ],
)
async def test_the_spiffe_id_names_the_caller_then_dns_names_then_the_common_name(
    certificates: Certificates, names: dict[str, Any], expected: str
) -> None:
    assert await name_of(certificates, certificates.client(**names)) == expected


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"common_name": "search\n"},
        {"common_name": "\N{CYRILLIC SMALL LETTER ES}earch"},
        {"uris": ["https://search.example/"]},
        {"uris": ["spiffe://example.org/" + "x" * 600]},
    ],
)
@pytest.mark.parametrize("sections", [{}, {"server": {"allow_anonymous": True}}, {"callers": callers("ann")}])
async def test_a_certificate_without_a_usable_name_is_rejected(
    certificates: Certificates, names: dict[str, Any], sections: dict[str, Any]
) -> None:
    failure = await name_of(certificates, certificates.client(**names), **sections)

    assert isinstance(failure, RpcFailure)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID")
    assert failure.message.startswith("The client certificate names no caller")


async def test_two_certificates_without_a_common_name_are_two_callers(certificates: Certificates) -> None:
    handler = RecordingHandler()
    server = mutual_tls(certificates, handler)
    async with running(server):
        for name in ("ann.example", "bob.example"):
            async with certificates.channel_with(server.port, certificates.client(dns=[name])) as channel:
                await GenerationServiceStub(channel).Generate(REQUEST)

    assert [call.caller.name for call in handler.calls] == ["ann.example", "bob.example"]


CALLERS = {
    "search": {"certificate_names": [SPIFFE_ID, "search.example"], "role": "admin"},
    "ann": {},
}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"uris": [SPIFFE_ID]}, "search"),
        ({"dns": ["other.example", "search.example"]}, "search"),
        ({"dns": ["other.example"], "common_name": "ann"}, "ann"),
    ],
)
async def test_certificate_names_identify_a_configured_caller(
    certificates: Certificates, names: dict[str, Any], expected: str
) -> None:
    assert await name_of(certificates, certificates.client(**names), callers=CALLERS) == expected


@pytest.mark.parametrize(
    "names",
    [
        {"common_name": "search"},
        {"dns": ["SEARCH.example"]},
        {"uris": [f"{SPIFFE_ID}/x"]},
        {"dns": ["*.example"]},
        {"common_name": SPIFFE_ID + " "},
    ],
)
@pytest.mark.parametrize("allow_anonymous", [True, False])
async def test_a_certificate_with_unknown_names_is_rejected(
    certificates: Certificates, names: dict[str, Any], allow_anonymous: bool
) -> None:
    server = {"allow_anonymous": allow_anonymous}

    failure = await name_of(certificates, certificates.client(**names), callers=CALLERS, server=server)

    assert isinstance(failure, RpcFailure)
    assert failure.code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("kind", ["expired", "self-signed", "of another authority"])
async def test_an_invalid_client_certificate_cannot_connect(certificates: Certificates, kind: str) -> None:
    certificate = {
        "expired": lambda: certificates.client(common_name="ann", valid_for=-timedelta(days=1)),
        "self-signed": lambda: certificates.client(common_name="ann", self_signed=True),
        "of another authority": lambda: certificates.client(common_name="ann", issuer=certificates.untrusted_ca),
    }[kind]()
    handler = RecordingHandler()
    server = mutual_tls(certificates, handler, callers=callers("ann"))
    async with running(server), certificates.channel_with(server.port, certificate) as channel:
        failure = await failure_of(GenerationServiceStub(channel).Generate(REQUEST, timeout=5))

    assert (failure.code, handler.calls) == (grpc.StatusCode.UNAVAILABLE, [])


async def connect(certificates: Certificates, port: int, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # otherwise this client offers no TLS 1.1 itself
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    writer.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_tls_1_2_is_the_oldest_version_that_the_server_accepts(certificates: Certificates) -> None:
    async with running(build_server(settings=server_settings({"tls": certificates.tls}))) as gateway:
        await connect(certificates, gateway.server.port, ssl.TLSVersion.TLSv1_2)
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            await connect(certificates, gateway.server.port, ssl.TLSVersion.TLSv1_1)


async def test_a_client_rejects_a_server_certificate_for_another_name(certificates: Certificates) -> None:
    handler = RecordingHandler()
    server = build_server(handler, server_settings({"tls": certificates.tls}))
    credentials = grpc.ssl_channel_credentials(certificates.ca.cert_pem.bytes())
    options = (("grpc.ssl_target_name_override", "other.example"),)
    async with (
        running(server),
        grpc.aio.secure_channel(f"localhost:{server.port}", credentials, options=options) as channel,
    ):
        failure = await failure_of(GenerationServiceStub(channel).Generate(REQUEST, timeout=5))

    assert (failure.code, handler.calls) == (grpc.StatusCode.UNAVAILABLE, [])
