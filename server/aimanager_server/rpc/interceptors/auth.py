"""Authentication: identifies the caller and the provider keys it sent."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Iterable
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import unquote

from ...config.settings import Settings
from ...config.types import is_loopback, listen_host
from ...core.errors import InvalidRequest, PermissionDenied, Unauthenticated
from ...core.request import Caller
from ..context import Rpc
from ..interceptor_chain import CallerInterceptor, RpcHandler

AUTHORIZATION = "authorization"
PROVIDER_KEY_PREFIX = "x-provider-key-"
PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
DEFAULT_TIER = "free"
ANONYMOUS = Caller(tier=DEFAULT_TIER)
MAX_PROVIDER_KEYS = 16
MAX_KEY_LENGTH = 1024


class Authenticator(CallerInterceptor):
    """Set `rpc.caller` from the gateway token or the client certificate. Tokens are stored and compared as digests."""

    def __init__(self, settings: Settings) -> None:
        server = settings.server
        self._callers = tuple(
            (caller.token_sha256.encode(), Caller(name, caller.tier)) for name, caller in settings.callers.items()
        )
        self._by_name = {caller.name: caller for _, caller in self._callers}
        self._allow_anonymous = server.allow_anonymous or (
            not self._callers and is_loopback(listen_host(server.listen))
        )
        self._uses_client_certificates = server.tls is not None and server.tls.client_ca_file is not None
        self._accept_caller_keys = server.accept_caller_keys

    def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Awaitable[Any]:
        """Identify the caller first. Raises Unauthenticated, PermissionDenied or InvalidRequest."""
        self._identify(rpc)
        return proceed(rpc)

    def _identify(self, rpc: Rpc) -> None:
        token = _bearer_token(rpc.metadata_values(AUTHORIZATION))
        keys = _provider_keys(rpc)
        rpc.secrets = tuple(filter(None, (token, *keys.values())))
        caller = self._by_token(token) if token and self._callers else self._without_token(rpc)
        if keys:
            self._check_keys_allowed(rpc)
            caller = Caller(caller.name, caller.tier, keys)
        rpc.caller = caller

    def _by_token(self, token: str) -> Caller:
        digest = sha256(token.encode()).hexdigest().encode()
        # Compares with every caller, so that the time taken does not depend on which one matches.
        found = [caller for expected, caller in self._callers if hmac.compare_digest(expected, digest)]
        if not found:
            raise Unauthenticated("Invalid gateway token.")
        return found[0]

    def _without_token(self, rpc: Rpc) -> Caller:
        caller = self._by_certificate(rpc) if self._uses_client_certificates else None
        if caller is not None:
            return caller
        if self._allow_anonymous:
            return ANONYMOUS
        if self._uses_client_certificates:
            raise Unauthenticated(
                "Missing gateway token, and the client certificate does not match a configured caller.",
                solution="Use a certificate with the name of a caller, or send 'authorization: Bearer TOKEN'.",
            )
        raise Unauthenticated("Missing gateway token.")

    def _by_certificate(self, rpc: Rpc) -> Caller | None:
        """Return the caller named by a verified client certificate; any name counts if no callers are configured."""
        properties = rpc.context.auth_context()
        names = [
            name.decode("utf-8", "replace")
            for key in ("x509_common_name", "x509_subject_alternative_name")
            for name in properties.get(key, ())
        ]
        if not self._by_name and names:
            return Caller(names[0], DEFAULT_TIER)
        return next((self._by_name[name] for name in names if name in self._by_name), None)

    def _check_keys_allowed(self, rpc: Rpc) -> None:
        if not self._accept_caller_keys:
            raise PermissionDenied(
                "This server does not accept provider keys from callers.",
                solution="Omit the provider key to use the server's own, or ask the operator to set "
                "server.accept_caller_keys = true.",
            )
        if not (is_loopback_peer(rpc.context.peer()) or _is_encrypted(rpc)):
            raise PermissionDenied(
                "Rejected a provider key sent over an unencrypted connection from another machine; it was not used.",
                solution="Connect with TLS, and replace the key: it may have been intercepted.",
            )


def _bearer_token(values: Iterable[str]) -> str:
    """Return the token, empty if none was sent."""
    sent = tuple(values)
    if len(sent) > 1:
        raise Unauthenticated("Multiple authorization headers; send exactly one.")
    if not sent:
        return ""
    scheme, _, token = sent[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Invalid authorization header: expected 'Bearer TOKEN'.")
    return token.strip()


def _provider_keys(rpc: Rpc) -> dict[str, str]:
    keys: dict[str, str] = {}
    for name, value in rpc.metadata:
        if not name.startswith(PROVIDER_KEY_PREFIX):
            continue
        provider = name.removeprefix(PROVIDER_KEY_PREFIX)
        if not PROVIDER_NAME.fullmatch(provider) or provider in keys or len(keys) == MAX_PROVIDER_KEYS:
            raise InvalidRequest(
                f"Invalid {PROVIDER_KEY_PREFIX}<provider> metadata: send at most {MAX_PROVIDER_KEYS} keys, one per "
                "provider, each with the name of a provider."
            )
        keys[provider] = _provider_key(provider, value)
    return keys


def _provider_key(provider: str, value: str | bytes) -> str:
    if isinstance(value, str):
        key = value.strip()
        if 0 < len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable() and " " not in key:
            return key
    raise InvalidRequest(
        f"Metadata {PROVIDER_KEY_PREFIX}{provider} must be 1 to {MAX_KEY_LENGTH} printable ASCII characters "
        "without spaces."
    )


def is_loopback_peer(peer: str) -> bool:
    """Return whether a gRPC peer, such as ipv4:127.0.0.1:4711 or ipv6:%5B::1%5D:4711, is on this machine."""
    kind, _, address = peer.partition(":")
    if kind == "unix":
        return True
    host = unquote(address).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        ip = ip_address(host)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def _is_encrypted(rpc: Rpc) -> bool:
    kinds = rpc.context.auth_context().get("transport_security_type", ())
    return any(kind in (b"ssl", b"tls") for kind in kinds)
