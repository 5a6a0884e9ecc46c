"""Finds out who calls, and which provider keys they brought."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import unquote

from ...config.settings import Settings
from ...config.types import host_of, is_loopback
from ...core.errors import InvalidRequest, PermissionDenied, Unauthenticated
from ...core.request import Caller
from ..context import Guard, Proceed, Rpc

AUTHORIZATION = "authorization"
PROVIDER_KEY_PREFIX = "x-provider-key-"
PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
DEFAULT_TIER = "free"
MOST_PROVIDER_KEYS = 16
LONGEST_KEY = 1024


class Authenticate(Guard):
    """Sets `rpc.caller`, or raises Unauthenticated or Forbidden. Tokens are kept and compared as digests."""

    def __init__(self, settings: Settings) -> None:
        server = settings.server
        self._callers = tuple(
            (caller.token_sha256.encode(), Caller(name, caller.tier)) for name, caller in settings.callers.items()
        )
        self._by_name = {caller.name: caller for _, caller in self._callers}
        self._anonymous = server.allow_anonymous or (not self._callers and is_loopback(host_of(server.listen)))
        self._certificates = server.tls is not None and server.tls.client_ca_file is not None
        self._caller_keys = server.caller_keys

    async def around(self, rpc: Rpc, request: Any, proceed: Proceed) -> Any:
        """Decide before anything else of the request is looked at."""
        self._identify(rpc)
        return await proceed(rpc, request)

    def _identify(self, rpc: Rpc) -> None:
        token = _bearer(rpc.values(AUTHORIZATION))
        keys = _provider_keys(rpc)
        rpc.secrets = tuple(filter(None, (token, *keys.values())))
        caller = self._by_token(token) if token and self._callers else self._without_token(rpc)
        if keys:
            self._admit_keys(rpc)
            caller = Caller(caller.name, caller.tier, keys)
        rpc.caller = caller

    def _by_token(self, token: str) -> Caller:
        digest = sha256(token.encode()).hexdigest().encode()
        found = [caller for expected, caller in self._callers if hmac.compare_digest(expected, digest)]
        if not found:
            raise Unauthenticated("The gateway token is not known.")
        return found[0]

    def _without_token(self, rpc: Rpc) -> Caller:
        caller = self._by_certificate(rpc) if self._certificates else None
        if caller is not None:
            return caller
        if self._anonymous:
            return Caller(tier=DEFAULT_TIER)
        if self._certificates:
            raise Unauthenticated(
                "The client certificate names no caller and there is no gateway token.",
                solution="Use a certificate whose name is a caller's, or send 'authorization: Bearer TOKEN'.",
            )
        raise Unauthenticated("There is no gateway token.")

    def _by_certificate(self, rpc: Rpc) -> Caller | None:
        """The caller a verified client certificate names; without a list of callers, whoever it says it is."""
        sent = rpc.context.auth_context()
        names = [
            name.decode("utf-8", "replace")
            for key in ("x509_common_name", "x509_subject_alternative_name")
            for name in sent.get(key, ())
        ]
        if not self._by_name and names:
            return Caller(names[0], DEFAULT_TIER)
        return next((self._by_name[name] for name in names if name in self._by_name), None)

    def _admit_keys(self, rpc: Rpc) -> None:
        if not self._caller_keys:
            raise PermissionDenied(
                "This server takes no provider keys from callers.",
                solution="Leave out the provider key: the server uses its own. Or have the operator set "
                "server.caller_keys = true.",
            )
        if not (_is_local(rpc.context.peer()) or _is_encrypted(rpc)):
            raise PermissionDenied(
                "A provider key came over an unencrypted connection from another machine; it was not used.",
                solution="Connect with TLS, and replace the key: it may have been read on the way.",
            )


def _bearer(values: Iterable[str]) -> str:
    """The token; empty where there is none."""
    sent = tuple(values)
    if len(sent) > 1:
        raise Unauthenticated("There are several authorization values; send one.")
    if not sent:
        return ""
    scheme, _, token = sent[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The authorization value is not 'Bearer TOKEN'.")
    return token.strip()


def _provider_keys(rpc: Rpc) -> dict[str, str]:
    keys: dict[str, str] = {}
    for name, value in rpc.metadata:
        if not name.startswith(PROVIDER_KEY_PREFIX):
            continue
        provider = name.removeprefix(PROVIDER_KEY_PREFIX)
        if not PROVIDER.fullmatch(provider) or provider in keys or len(keys) == MOST_PROVIDER_KEYS:
            raise InvalidRequest(
                f"Metadata {PROVIDER_KEY_PREFIX}<provider> names no provider, names one twice, or more than "
                f"{MOST_PROVIDER_KEYS} of them."
            )
        keys[provider] = _key(provider, value)
    return keys


def _key(provider: str, value: str | bytes) -> str:
    if isinstance(value, str):
        key = value.strip()
        if 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable() and " " not in key:
            return key
    raise InvalidRequest(
        f"The key in metadata {PROVIDER_KEY_PREFIX}{provider} is not 1 to {LONGEST_KEY} printable ASCII characters."
    )


def _is_local(peer: str) -> bool:
    """Whether a gRPC peer, such as ipv4:127.0.0.1:4711 or ipv6:%5B::1%5D:4711, is on this machine."""
    kind, _, place = peer.partition(":")
    if kind == "unix":
        return True
    host = unquote(place).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _is_encrypted(rpc: Rpc) -> bool:
    kinds = rpc.context.auth_context().get("transport_security_type", ())
    return any(kind in (b"ssl", b"tls") for kind in kinds)
