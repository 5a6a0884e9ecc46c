"""Define the faults of an HTTP exchange, and their translation to gateway errors and to httpx's exceptions."""

from __future__ import annotations

from typing import ClassVar

import httpx

from ...core.errors import GatewayError, Overloaded, ProviderProtocolError, ProviderUnreachable, ProviderUntrusted

RETRY_AFTER_SECONDS = 1.0


class ExchangeError(Exception):
    """One HTTP exchange failed. Each subclass is one fault. The cause, if known, is the exception of the socket.

    `message` never quotes the cause, whose text may hold a URL. `detail` says which fault it was, in own words.
    """

    error_type: ClassVar[type[GatewayError]] = ProviderUnreachable
    httpx_type: ClassVar[type[httpx.TransportError]] = httpx.ConnectError
    message = "The HTTP exchange with the provider failed."

    def __init__(self, cause: BaseException | None = None, detail: str = "") -> None:
        super().__init__(str(cause or ""))
        self.__cause__ = cause
        self.detail = detail
        if detail:
            self.message = f"{self.message.removesuffix('.')}: {detail}."

    def gateway_error(self, provider: str) -> GatewayError:
        """Return the error for the caller."""
        return self.error_type(self.message, provider=provider)


class NameResolutionError(ExchangeError):
    """The host name has no address."""

    message = "DNS lookup of the provider's host name failed."


class ConnectError(ExchangeError):
    """No address of the host accepted a connection."""

    message = "Connection refused by the provider."


class ConnectTimeoutError(ExchangeError):
    """DNS lookup, TCP and TLS handshakes together took too long."""

    httpx_type = httpx.ConnectTimeout
    message = "Connecting to the provider timed out."


class ProxyError(ExchangeError):
    """The proxy is invalid, unreachable, or refused the tunnel."""

    httpx_type = httpx.ProxyError
    message = "Connection through the proxy to the provider failed."


class TlsHandshakeError(ExchangeError):
    """The TLS handshake failed for a reason other than the certificate."""

    message = "TLS handshake with the provider failed."


class CertificateError(ExchangeError):
    """The server's certificate is not valid for the host, or not signed by a trusted authority."""

    error_type = ProviderUntrusted

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        reason = str(getattr(cause, "verify_message", "") or "certificate is not valid").rstrip(".")
        self.message = f"Verification of the provider's certificate failed: {reason}."


class PoolTimeoutError(ExchangeError):
    """All connections were in use for too long."""

    httpx_type = httpx.PoolTimeout

    def __init__(self, max_connections: int, seconds: float) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.seconds = seconds

    def gateway_error(self, provider: str) -> GatewayError:
        """Return an Overloaded error that names the setting."""
        return Overloaded(
            f"Connection pool exhausted for provider {provider!r}: all {self.max_connections} connections were in use "
            f"for {self.seconds:g} s.",
            solution=f"Retry in {RETRY_AFTER_SECONDS:g} s, or raise providers.{provider}.max_connections.",
            provider=provider,
            retry_after=RETRY_AFTER_SECONDS,
        )


class PoolClosedError(ExchangeError):
    """The pool was closed."""

    message = "The connections to the provider are closed."


class ConnectionLostError(ExchangeError):
    """The connection broke before the headers of the response had arrived."""

    httpx_type = httpx.ReadError
    message = "Connection to the provider was reset."


class ResponseMissingError(ExchangeError):
    """The server closed the connection instead of sending a response."""

    error_type = ProviderProtocolError
    httpx_type = httpx.RemoteProtocolError
    message = "The provider closed the connection without sending a response."


class ResponseTruncatedError(ExchangeError):
    """The connection was closed before the end of the response."""

    error_type = ProviderProtocolError
    httpx_type = httpx.RemoteProtocolError
    message = "The provider's response was truncated."


class InvalidFramingError(ExchangeError):
    """The chunks of the body are not valid HTTP, or exceed a limit."""

    error_type = ProviderProtocolError
    httpx_type = httpx.RemoteProtocolError
    message = "The body of the provider's response is incorrectly framed."


class InvalidResponseError(ExchangeError):
    """The headers of the response are not valid HTTP, or exceed a limit."""

    error_type = ProviderProtocolError
    httpx_type = httpx.RemoteProtocolError
    message = "The provider's response is not valid HTTP."


class InvalidUrlError(ExchangeError):
    """The URL is not one of HTTP."""

    httpx_type = httpx.UnsupportedProtocol
    message = "The provider's base_url is not a valid URL."


class InvalidRequestError(ExchangeError):
    """The method or a header cannot be sent, for example because it contains a line break."""

    error_type = ProviderProtocolError
    httpx_type = httpx.LocalProtocolError
    message = "The request to the provider contains an invalid header."


STALE_CONNECTION_ERRORS = (ResponseMissingError, ConnectionLostError)
"""On a reused connection, these usually mean that the server closed it while it was idle."""


def to_httpx_error(error: ExchangeError, request: httpx.Request) -> httpx.TransportError:
    """Return httpx's exception for a fault. Raise it from `error`, which `from_httpx_error` then finds."""
    return error.httpx_type(error.message, request=request)


def from_httpx_error(error: httpx.TransportError, provider: str = "") -> GatewayError:
    """Return the gateway error for an exception of httpx, whether raised by HttpTransport or another transport."""
    cause = error.__cause__
    if isinstance(cause, ExchangeError):
        return cause.gateway_error(provider)
    name = type(error).__name__
    if isinstance(error, httpx.NetworkError | httpx.TimeoutException):
        return ProviderUnreachable(f"Connection to the provider failed: {name}.", provider=provider)
    return ProviderProtocolError(f"The HTTP exchange with the provider failed: {name}.", provider=provider)
