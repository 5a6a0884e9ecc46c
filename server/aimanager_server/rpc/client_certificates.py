"""Names of callers in verified client certificates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..config.callers import is_certificate_name

SPIFFE_SCHEME = "spiffe://"


def certificate_names(properties: Mapping[str, Iterable[bytes]]) -> list[str]:
    """Return the usable names in gRPC's properties of a connection: the SPIFFE ID, then DNS names and common name.

    >>> certificate_names({"peer_dns": [b"search.example"], "x509_common_name": [b""]})
    ['search.example']
    """
    names = (name.decode("ascii", "replace") for name in _names(properties))
    return [name for name in names if is_certificate_name(name)]


def _names(properties: Mapping[str, Iterable[bytes]]) -> Iterator[bytes]:
    uris = [uri for uri in properties.get("peer_uri", ()) if uri.startswith(SPIFFE_SCHEME.encode())]
    if len(uris) == 1:  # with several, the certificate is not a valid SPIFFE identity
        yield from uris
    yield from properties.get("peer_dns", ())
    yield from properties.get("x509_common_name", ())
