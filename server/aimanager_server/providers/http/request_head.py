"""Encode the request line and the headers of a request, and find the origin that its URL leads to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import httpx

from .connection_errors import InvalidRequestError, InvalidUrlError

DEFAULT_PORTS = {"http": 80, "https": 443}
METHODS_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
FRAMING_HEADERS = frozenset(("content-length", "transfer-encoding"))
PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class Origin(NamedTuple):
    """What requests must share to share a connection. `server_name` is the name that the certificate must be for."""

    scheme: str
    host: str
    port: int
    server_name: str

    @property
    def authority(self) -> str:
        """Host and port, as in the request line of CONNECT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Endpoint(NamedTuple):
    """An origin, and the path and query and the Host header of a request to it."""

    origin: Origin
    target: str
    host_header: str


def parse_url(url: str) -> Endpoint:
    """Return the endpoint of a URL, which is sent unchanged. Raises InvalidUrlError."""
    try:
        split = urlsplit(url)
        scheme, host, port = split.scheme, split.hostname or "", split.port
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError as error:
        raise InvalidUrlError(error) from error
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    if "@" in split.netloc:
        raise InvalidUrlError
    return _endpoint(scheme, host, port, quote(target, safe=PRINTABLE_ASCII))


def endpoint_of(request: httpx.Request) -> Endpoint:
    """Return the endpoint of an httpx request. Raises InvalidUrlError.

    The extension `sni_hostname` is the name to verify instead of the URL's host, and `target` the path and query to
    send instead of the URL's.
    """
    url, extensions = request.url, request.extensions
    target = extensions.get("target", url.raw_path)
    endpoint = _endpoint(url.scheme, url.raw_host.decode("ascii"), url.port, bytes(target).decode("latin-1"))
    server_name = extensions.get("sni_hostname") or endpoint.origin.server_name
    return endpoint._replace(origin=endpoint.origin._replace(server_name=server_name))


def encode_head(method: str, target: str, host_header: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """Return the request up to the empty line. Raises InvalidRequestError if a line would contain a line break.

    A Host header in `headers` takes precedence over `host_header`. Content-Length is always that of `body`.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers:
        lowered = name.lower()
        if lowered == "host":
            host_header = value
        elif lowered not in FRAMING_HEADERS:
            lines.append(f"{name}: {value}")
    lines.insert(1, f"Host: {host_header}")
    if body or method in METHODS_WITH_BODY:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        raise InvalidRequestError
    try:
        return f"{head}\r\n\r\n".encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(error) from error


def _endpoint(scheme: str, host: str, port: int | None, target: str) -> Endpoint:
    if scheme not in DEFAULT_PORTS or not _is_printable(host) or not _is_printable(target):
        raise InvalidUrlError
    if port is not None and not 0 < port < 2**16:
        raise InvalidUrlError
    name = f"[{host}]" if ":" in host else host
    is_default = port in (None, DEFAULT_PORTS[scheme])
    origin = Origin(scheme, host, port or DEFAULT_PORTS[scheme], host)
    return Endpoint(origin, target, name if is_default else f"{name}:{port}")


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and text != ""
