"""TLS certificates of throw-away authorities, and channels that trust them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import trustme


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
        certificate = issuer.issue_cert(f"{name}.test", common_name=name) if issuer else None
        credentials = grpc.ssl_channel_credentials(
            self.ca.cert_pem.bytes(),
            certificate.private_key_pem.bytes() if certificate else None,
            b"".join(blob.bytes() for blob in certificate.cert_chain_pems) if certificate else None,
        )
        return grpc.aio.secure_channel(f"localhost:{port}", credentials)
