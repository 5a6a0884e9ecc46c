"""Maps every fault of aiohttp to one of ours."""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from ...core.errors import GatewayError, ProviderProtocolError, ProviderUnreachable, ProviderUntrusted

MEANINGS: tuple[tuple[tuple[type[Exception], ...], type[GatewayError], str], ...] = (
    ((aiohttp.ClientSSLError, ssl.SSLError), ProviderUnreachable, "The TLS handshake with the provider failed."),
    ((aiohttp.ClientConnectorDNSError,), ProviderUnreachable, "The provider's host name could not be resolved."),
    (
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
        ProviderUnreachable,
        "The proxy on the way to the provider could not be used.",
    ),
    ((aiohttp.ClientConnectorError,), ProviderUnreachable, "The provider accepts no connection."),
    (
        (aiohttp.ServerDisconnectedError,),
        ProviderProtocolError,
        "The provider closed the connection without an answer.",
    ),
    ((TimeoutError,), ProviderUnreachable, "Connecting to the provider took too long."),
    ((aiohttp.ClientPayloadError,), ProviderProtocolError, "The provider's answer was cut or badly framed."),
    (
        (aiohttp.ClientResponseError, HttpProcessingError),
        ProviderProtocolError,
        "The provider's answer is not HTTP.",
    ),
    ((aiohttp.InvalidURL,), ProviderUnreachable, "The provider's base_url is not a URL that can be asked."),
    ((OSError,), ProviderUnreachable, "The connection to the provider was reset."),
)
"""The first row that fits counts, so the particular stands before the general."""


def fault_for(error: Exception, provider: str) -> GatewayError:
    """What a fault on the way to the provider means. No message repeats the error's own, which may hold a URL."""
    kind, message = _meaning(error)
    return kind(message, provider=provider)


def is_stale(error: Exception) -> bool:
    """The connection broke before any byte of a response: on a pooled one the server may simply have closed it."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return not isinstance(error.message, aiohttp.http.RawResponseMessage)
    return isinstance(error, OSError) and not isinstance(error, aiohttp.ClientConnectorError | TimeoutError)


def _meaning(error: Exception) -> tuple[type[GatewayError], str]:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return ProviderUntrusted, f"The provider's certificate was not accepted: {_why_untrusted(error)}."
    for kinds, fault, message in MEANINGS:
        if isinstance(error, kinds):
            return fault, message
    return ProviderProtocolError, f"The exchange with the provider failed: {type(error).__name__}."


def _why_untrusted(error: Exception) -> str:
    cause = getattr(error, "certificate_error", error)
    return str(getattr(cause, "verify_message", "") or "it is not valid").rstrip(".")
