"""The server's TLS certificates, which can be replaced while it runs."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import grpc

from ..config.errors import StartupError
from ..config.settings import TlsSettings

MAX_READS = 3
"""How often the files are read while they change."""


class TlsCertificates:
    """The certificates of one TLS configuration, read from its files.

    Raises StartupError if they cannot be used.
    """

    def __init__(self, tls: TlsSettings) -> None:
        self.requires_client_certificate = tls.client_ca_file is not None
        self.configuration = _configuration(tls)


class ServerCredentials:
    """Credentials of listeners. Every handshake uses the certificates that are current then; connections keep theirs.

    Whether client certificates are required cannot change.
    """

    def __init__(self, certificates: TlsCertificates) -> None:
        self.certificates = certificates

    def for_listener(self) -> grpc.ServerCredentials:
        """Return the credentials of one listener."""
        used = self.certificates

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            """Return the certificates if they changed. Called before each handshake, in a thread of gRPC."""
            nonlocal used
            current = self.certificates
            if current is used:
                return None
            used = current
            return current.configuration

        # The fetcher may return None, unlike its type says.
        fetcher: Any = fetch
        return grpc.dynamic_ssl_server_credentials(used.configuration, fetcher, used.requires_client_certificate)


def _configuration(tls: TlsSettings) -> grpc.ServerCertificateConfiguration:
    files = (tls.key_file, tls.certificate_file, *(() if tls.client_ca_file is None else (tls.client_ca_file,)))
    for _ in range(MAX_READS):
        contents = [_read(file) for file in files]
        _check_files(tls)
        if contents == [_read(file) for file in files]:  # what was checked is what was read
            key, certificates, *authorities = contents
            return grpc.ssl_server_certificate_configuration([(key, certificates)], *authorities)
    raise StartupError("The files of server.tls change while they are read.")


def _check_files(tls: TlsSettings) -> None:
    """Load the files with ssl first: gRPC reports unusable ones only as a failure to listen."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password, an encrypted key would prompt for one on the terminal.
        context.load_cert_chain(tls.certificate_file, tls.key_file, password="")
    except (ssl.SSLError, OSError) as error:
        raise StartupError(
            "server.tls.certificate_file and server.tls.key_file must be a PEM certificate chain and its matching, "
            "unencrypted PEM private key."
        ) from error
    if tls.client_ca_file is None:
        return
    try:
        context.load_verify_locations(tls.client_ca_file)
    except (ssl.SSLError, OSError) as error:
        raise StartupError("server.tls.client_ca_file must contain PEM certificates.") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StartupError(f"Cannot read the TLS file {str(file)!r}: {error.strerror}.") from error
