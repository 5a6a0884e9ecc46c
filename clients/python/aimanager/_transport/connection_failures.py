"""Say what to change after gRPC could not connect: its own messages name neither the cause nor the option."""

from __future__ import annotations

SERVER_STOPPED = "Is the server running at {target}? Start it with `make run` or `aimanager-server`."

FAILURES = (
    (
        ("WRONG_VERSION_NUMBER",),
        "Cannot connect to {target}: the server does not use TLS.",
        "Remove tls=True and the certificates, or enable TLS in the server.",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "Cannot connect to {target}: the certificate of the server is not trusted.",
        "Pass the certificate authority of the server: root_certificates=Path(…).read_bytes().",
    ),
    (
        ("Hostname Verification Check failed", "is not in peer certificate"),
        "Cannot connect to {target}: the certificate of the server is for another host name.",
        "Use a host name of the certificate in target.",
    ),
    (
        ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA"),
        "Cannot connect to {target}: the server requires a client certificate that it trusts.",
        "Pass private_key and certificate_chain (PEM).",
    ),
    (
        ("security handshaker",),
        "Cannot connect to {target}: a certificate or key is not valid PEM.",
        "Pass the bytes of PEM files as root_certificates, private_key and certificate_chain.",
    ),
    (
        ("http1.x server", "Expected SETTINGS frame"),
        "Cannot connect to {target}: the server there does not speak gRPC.",
        "Use the port of the gateway's gRPC listener, 50051 by default, not that of its metrics.",
    ),
    (
        ("errors resolving", "DNS resolution failed", "lookup error"),
        "Cannot connect to {target}: the host name cannot be resolved.",
        "Check the host name in target.",
    ),
    (("Connection refused",), "Cannot connect to {target}: connection refused.", SERVER_STOPPED),
    (
        ("Socket closed", "Connection reset", "End of TCP stream", "GOAWAY"),
        "Cannot connect to {target}: the server closed the connection.",
        "If the server uses TLS, pass tls=True. " + SERVER_STOPPED,
    ),
)
"""What gRPC's message contains, and the message and solution in its place; the first match counts."""


def explain_connection_failure(message: str, target: str) -> tuple[str, str] | None:
    """Return message and solution for gRPC's message about a connection, or None if it is about something else.

    >>> explain_connection_failure("failed to connect to all addresses; last error: Connection refused", "localhost:1")
    ... # doctest: +ELLIPSIS
    ('Cannot connect to localhost:1: connection refused.', 'Is the server running at localhost:1? ...')
    """
    if "connect" not in message and "resol" not in message:
        return None
    for signs, problem, solution in FAILURES:
        if any(sign in message for sign in signs):
            return problem.format(target=target), solution.format(target=target)
    return None
