"""TLS certificates are replaced while the server runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.reload import SERVER, generate_request, live_gateway, open_channel

CONNECT_SECONDS = 5.0


class Volume:
    """A certificate volume that is swapped as a whole, as kubelet does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tls"
        self.folder.mkdir()
        self._versions = 0

    def publish(self, certificate: trustme.LeafCert, client_ca: trustme.CA | None = None) -> None:
        """Swap in a certificate and, if any, the authority of clients."""
        self._versions += 1
        version = self.folder / f"..{self._versions}"
        version.mkdir()
        certificate.private_key_pem.write_to_path(str(version / "tls.key"))
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(version / "tls.crt"), append=True)
        if client_ca is not None:
            client_ca.cert_pem.write_to_path(str(version / "ca.crt"))
        (self.folder / "..tmp").symlink_to(version.name)
        os.replace(self.folder / "..tmp", self.folder / "..data")
        for name in ("tls.key", "tls.crt", "ca.crt"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")

    def settings(self, *, client_ca: bool = False) -> str:
        """The section [server.tls]."""
        names = {"certificate_file": "tls.crt", "key_file": "tls.key"}
        if client_ca:
            names["client_ca_file"] = "ca.crt"
        lines = [f"{setting} = {json.dumps(str(self.folder / name))}" for setting, name in names.items()]
        return "\n".join(["[server.tls]", *lines, ""])


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "aimanager.toml"


def trusting(ca: trustme.CA, certificate: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    """Credentials that trust one authority and present a client certificate."""
    if certificate is None:
        return grpc.ssl_channel_credentials(ca.cert_pem.bytes())
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    return grpc.ssl_channel_credentials(ca.cert_pem.bytes(), certificate.private_key_pem.bytes(), chain)


async def connects(port: int, credentials: grpc.ChannelCredentials) -> bool:
    """Return whether a new connection succeeds."""
    async with open_channel(port, credentials) as channel:
        stub: Any = GenerationServiceStub(channel)
        try:
            await stub.Generate(generate_request("Hi", "mock/mock-large"), timeout=CONNECT_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True


async def test_new_connections_use_a_rotated_certificate_and_open_ones_stay(config: Path, volume: Volume) -> None:
    old, new = trustme.CA(), trustme.CA()
    volume.publish(old.issue_cert("localhost"))
    async with live_gateway(config, SERVER + volume.settings(), credentials=trusting(old)) as gateway:
        port = gateway.app.server.port
        stream = aiter(gateway.stream("[[words: 5]] [[stall: 2 seconds=1]]"))
        await anext(stream)

        volume.publish(new.issue_cert("localhost"))
        entry = await gateway.outcome()

        assert await connects(port, trusting(new))
        assert not await connects(port, trusting(old))
        assert await gateway.ask()
        events = [event async for event in stream]
    assert events[-1].HasField("completed")
    assert entry["changes"] == [
        "server.tls.certificate_file: content changed",
        "server.tls.key_file: content changed",
    ]


async def test_a_key_that_does_not_match_keeps_the_certificate_until_it_does(config: Path, volume: Volume) -> None:
    old, new = trustme.CA(), trustme.CA()
    first, second = old.issue_cert("localhost"), new.issue_cert("localhost")
    volume.publish(first)
    async with live_gateway(config, SERVER + volume.settings(), credentials=trusting(old)) as gateway:
        port = gateway.app.server.port
        second.private_key_pem.write_to_path(str(volume.folder / "tls.key"))
        failed = await gateway.outcome()
        assert await connects(port, trusting(old))

        second.cert_chain_pems[0].write_to_path(str(volume.folder / "tls.crt"))
        entry = await gateway.outcome()

        assert await connects(port, trusting(new))
    assert (failed["event"], entry["event"]) == ("config.reload_failed", "config.reloaded")
    assert "matching" in failed["problems"][0]


async def test_clients_of_a_removed_authority_can_not_connect_any_more(config: Path, volume: Volume) -> None:
    server, old, new = trustme.CA(), trustme.CA(), trustme.CA()
    certificate = server.issue_cert("localhost")
    volume.publish(certificate, old)
    known, added = (ca.issue_cert("ann.test", common_name="ann") for ca in (old, new))
    text = SERVER + volume.settings(client_ca=True)
    async with live_gateway(config, text, credentials=trusting(server, known)) as gateway:
        port = gateway.app.server.port
        before = await connects(port, trusting(server, known)), await connects(port, trusting(server, added))

        volume.publish(certificate, new)
        await gateway.outcome()

        after = await connects(port, trusting(server, known)), await connects(port, trusting(server, added))
    assert (before, after) == ((True, False), (False, True))


async def test_tls_and_client_certificates_are_turned_on_and_off_only_by_a_restart(
    config: Path, volume: Volume
) -> None:
    ca = trustme.CA()
    volume.publish(ca.issue_cert("localhost"), ca)
    async with live_gateway(config, SERVER + volume.settings(), credentials=trusting(ca)) as gateway:
        await gateway.reload(SERVER)
        await gateway.reload(SERVER + volume.settings(client_ca=True))

        assert await connects(gateway.app.server.port, trusting(ca))
        warnings = [entry["settings"] for entry in gateway.entries("config.restart_required")]
    assert warnings == [["server.tls"], ["server.tls.client_ca_file"]]
