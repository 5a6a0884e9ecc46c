"""TLS certificates of throw-away authorities, and channels that trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its private key, PEM."""

    chain: bytes
    key: bytes


class Certificates:
    """A server certificate for localhost, a client CA, and an untrusted CA, written to a folder.

    `tls` holds the settings of a server with its certificate, `mutual_tls` those that also require client certificates.
    """

    def __init__(self, folder: Path) -> None:
        self.ca, self.client_ca, self.untrusted_ca = trustme.CA(), trustme.CA(), trustme.CA()
        certificate = self.ca.issue_cert("localhost")
        self.tls = {
            "certificate_file": str(self._write(folder / "chain.pem", certificate.cert_chain_pems)),
            "key_file": str(self._write(folder / "key.pem", [certificate.private_key_pem])),
        }
        self.ca_file = self._write(folder / "ca.pem", [self.ca.cert_pem])
        client_ca = self._write(folder / "client-ca.pem", [self.client_ca.cert_pem])
        self.mutual_tls = {**self.tls, "client_ca_file": str(client_ca)}

    def _write(self, file: Path, blobs: list[Any]) -> Path:
        file.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return file

    def channel(self, port: int, issuer: trustme.CA | None = None, name: str = "ann") -> grpc.aio.Channel:
        """A channel that trusts the server; with `issuer`, it presents a client certificate for `name`."""
        if issuer is None:
            return self.channel_with(port, None)
        certificate = issuer.issue_cert(f"{name}.test", common_name=name)
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        return self.channel_with(port, ClientCertificate(chain, certificate.private_key_pem.bytes()))

    def channel_with(self, port: int, certificate: ClientCertificate | None) -> grpc.aio.Channel:
        """A channel that trusts the server and presents this client certificate."""
        key, chain = (certificate.key, certificate.chain) if certificate else (None, None)
        credentials = grpc.ssl_channel_credentials(self.ca.cert_pem.bytes(), key, chain)
        return grpc.aio.secure_channel(f"localhost:{port}", credentials)

    def client(
        self,
        *,
        common_name: str = "",
        dns: Sequence[str] = (),
        uris: Sequence[str] = (),
        valid_for: timedelta = timedelta(days=1),
        issuer: trustme.CA | None = None,
        self_signed: bool = False,
    ) -> ClientCertificate:
        """A client certificate with exactly these names, by the client CA. With a negative validity it has expired."""
        issuer = issuer or self.client_ca
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
        names = [*map(x509.DNSName, dns), *map(x509.UniformResourceIdentifier, uris)]
        subject = x509.Name(attributes)
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            subject if self_signed else x509.load_pem_x509_certificate(issuer.cert_pem.bytes()).subject,
            subject,
            key.public_key(),
            x509.random_serial_number(),
            now - timedelta(days=30),
            now + valid_for,
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not common_name)
        issuer_key = key if self_signed else load_pem_private_key(issuer.private_key_pem.bytes(), None)
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        certificate = builder.sign(issuer_key, SHA256())
        return ClientCertificate(
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )
