"""Finds callers by their token or the names in their client certificate."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from ..config.callers import DEFAULT_TIER, CallerSettings, UnknownCallers
from ..config.settings import Settings
from ..core.errors import TokenExpired, Unauthenticated
from ..core.handler import Clock
from ..core.request import Caller
from ..telemetry.logger import get_logger

TOKEN_PREFIX = "aim"
EXPIRY_NOTICE_SECONDS = 14 * 86_400.0
"""How long before its expiry the use of a token is logged as a warning."""

NOTICE_INTERVAL_SECONDS = 86_400.0
"""Shortest time between two warnings about the same token."""


@dataclass(slots=True)
class _Token:
    """One configured token. Times are in seconds since the Unix epoch, None if it does not expire."""

    id: str
    digest: bytes
    caller: Caller
    expires_at: float | None
    noticed_at: float | None = None


class CallerDirectory:
    """The configured callers. `wall_clock` returns seconds since the Unix epoch.

    Without configured callers, every name in a verified client certificate is a caller of the default tier.
    Callers that are not configured may do no more than both the settings and `unknown_callers` permit.
    """

    def __init__(
        self, settings: Settings, wall_clock: Clock, unknown_callers: UnknownCallers = UnknownCallers.ADMINS
    ) -> None:
        self._wall_clock = wall_clock
        self._log = get_logger()
        callers = {name: _caller(name, caller) for name, caller in settings.callers.items()}
        self._tokens = {
            token.id: token for name, caller in callers.items() for token in _tokens(settings.callers[name], caller)
        }
        self._by_certificate_name = {
            each: caller for name, caller in callers.items() for each in settings.certificate_names(name)
        }
        permitted = min(settings.unknown_callers, unknown_callers)
        self.accepts_unknown = permitted >= UnknownCallers.ACCEPTED
        self.is_open = not callers and self.accepts_unknown
        self.anonymous = Caller(tier=DEFAULT_TIER, is_admin=permitted is UnknownCallers.ADMINS)

    def by_token(self, token: str) -> Caller:
        """Return the caller of a token. Raises Unauthenticated, and TokenExpired if it was valid."""
        digest = sha256(token.encode()).digest()
        prefix, _, rest = token.partition("_")
        found = self._tokens.get(rest.partition("_")[0]) if prefix == TOKEN_PREFIX else None
        if found is None or not hmac.compare_digest(found.digest, digest):
            raise Unauthenticated("Invalid gateway token.")
        if found.expires_at is not None:
            self._check_expiry(found, found.expires_at - self._wall_clock())
        return found.caller

    def by_certificate(self, names: Sequence[str]) -> Caller:
        """Return the caller that the first known name identifies. Raises Unauthenticated."""
        if not names:
            raise Unauthenticated(
                "The client certificate names no caller: it has no SPIFFE ID, DNS name or common name that is usable.",
                solution="Use a certificate that names the caller.",
            )
        if self.is_open:
            return Caller(names[0], DEFAULT_TIER)
        for name in names:
            caller = self._by_certificate_name.get(name)
            if caller is not None:
                return caller
        raise Unauthenticated(
            "Missing gateway token, and the client certificate does not match a configured caller.",
            solution="Use a certificate with the name of a caller, or send 'authorization: Bearer TOKEN'.",
        )

    def _check_expiry(self, token: _Token, remaining: float) -> None:
        if remaining > EXPIRY_NOTICE_SECONDS:
            return
        now = self._wall_clock()
        if token.noticed_at is None or abs(now - token.noticed_at) >= NOTICE_INTERVAL_SECONDS:
            token.noticed_at = now
            self._log.warning(
                "token.expired" if remaining <= 0 else "token.expiring",
                caller=token.caller.name,
                token_id=token.id,
                expires=datetime.fromtimestamp(now + remaining, UTC).isoformat(timespec="seconds"),
            )
        if remaining <= 0:
            raise TokenExpired("The gateway token has expired.")


def _caller(name: str, settings: CallerSettings) -> Caller:
    return Caller(name, settings.tier, is_admin=settings.role == "admin")


def _tokens(settings: CallerSettings, caller: Caller) -> Iterator[_Token]:
    for token in settings.tokens:
        expires_at = None if token.expires is None else token.expires.timestamp()
        yield _Token(token.id, bytes.fromhex(token.sha256), caller, expires_at)
