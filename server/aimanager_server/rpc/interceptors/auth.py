"""Authentication: identifies the caller and the provider keys it sent."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any, Never

from ...config.settings import Settings
from ...core.errors import GatewayError, InvalidRequest, PermissionDenied, Unauthenticated
from ...core.request import Caller
from ...resilience.auth_backoff import AuthBackoff
from ..caller_directory import CallerDirectory
from ..client_certificates import certificate_names
from ..context import Rpc
from ..interceptor_chain import CallerInterceptor, RpcHandler
from ..peers import is_in_process, is_loopback_peer, peer_network

AUTHORIZATION = "authorization"
PROVIDER_KEY_PREFIX = "x-provider-key-"
PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MAX_PROVIDER_KEYS = 16
MAX_KEY_LENGTH = 1024


class Authenticator(CallerInterceptor):
    """Set `rpc.caller` from the gateway token or the client certificate. `backoff` delays those that fail."""

    def __init__(self, settings: Settings, callers: CallerDirectory, backoff: AuthBackoff) -> None:
        self._callers = callers
        self._backoff = backoff
        self._only_caller = replace(callers.anonymous, is_only=True)
        self._accepts_anonymous = settings.accepts_anonymous and callers.accepts_unknown
        self._uses_client_certificates = settings.uses_client_certificates
        self._accept_caller_keys = settings.server.accept_caller_keys

    def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Awaitable[Any]:
        """Identify the caller first. Raises Unauthenticated, PermissionDenied, InvalidRequest or RateLimited."""
        try:
            self._identify(rpc)
        except Unauthenticated as error:
            return self._reject(rpc, error)
        return proceed(rpc)

    async def _reject(self, rpc: Rpc, error: GatewayError) -> Never:
        await self._backoff.delay_failure(peer_network(rpc.context.peer()))
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame

    def _identify(self, rpc: Rpc) -> None:
        credentials: list[str | bytes] = []
        sent_keys: list[tuple[str, str | bytes]] = []
        for name, value in rpc.metadata:
            if name == AUTHORIZATION:
                credentials.append(value)
            elif name.startswith(PROVIDER_KEY_PREFIX):
                sent_keys.append((name, value))
        if credentials:
            token = _bearer_token(credentials)
            rpc.secrets = (token,)
            caller = self._without_token(rpc) if self._callers.is_open else self._callers.by_token(token)
        else:
            caller = self._without_token(rpc)
        if sent_keys:
            keys = _provider_keys(sent_keys)
            rpc.secrets = (*rpc.secrets, *keys.values())
            self._check_keys_allowed(rpc)
            caller = replace(caller, provider_keys=keys)
        rpc.caller = caller

    def _without_token(self, rpc: Rpc) -> Caller:
        if self._uses_client_certificates:
            return self._callers.by_certificate(certificate_names(rpc.context.auth_context()))
        if self._accepts_anonymous:
            return self._only_caller if is_in_process(rpc.context.peer()) else self._callers.anonymous
        raise Unauthenticated("Missing gateway token.")

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


def _bearer_token(credentials: Sequence[str | bytes]) -> str:
    if len(credentials) > 1:
        raise Unauthenticated("Multiple authorization headers; send exactly one.")
    sent = credentials[0]
    scheme, _, token = sent.partition(" ") if isinstance(sent, str) else ("", "", "")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Invalid authorization header: expected 'Bearer TOKEN'.")
    return token


def _provider_keys(sent: Sequence[tuple[str, str | bytes]]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for name, value in sent:
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


def _is_encrypted(rpc: Rpc) -> bool:
    kinds = rpc.context.auth_context().get("transport_security_type", ())
    return any(kind in (b"ssl", b"tls") for kind in kinds)
