"""Settings of callers and tiers: who may call, how they prove it, and how much they may use."""

from __future__ import annotations

import re
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from .types import Name, PositiveInt, Section, Sha256Hex

DEFAULT_TIER = "free"
"""The tier of callers that do not set one: anonymous ones, and those that only a certificate names."""

MAX_CERTIFICATE_NAME_LENGTH = 512
MAX_CERTIFICATE_CALLERS = 256
"""How many callers that are not configured are told apart in usage totals."""

TOKEN_ID = re.compile(r"[a-z0-9]{1,32}")


class UnknownCallers(IntEnum):
    """What callers may do that are not configured, from least to most."""

    REJECTED = 0
    ACCEPTED = 1
    ADMINS = 2
    """Anybody on this machine may do everything."""


def is_certificate_name(text: str) -> bool:
    """Return whether a name from a client certificate can identify a caller: short, printable ASCII, not empty.

    >>> [is_certificate_name(name) for name in ("spiffe://prod/search", "", "a\\nb", "x" * 600)]
    [True, False, False, False]
    """
    return 0 < len(text) <= MAX_CERTIFICATE_NAME_LENGTH and text.isascii() and text.isprintable()


def _token_id(text: str) -> str:
    if not TOKEN_ID.fullmatch(text):
        raise ValueError("must be the ID within the token aim_ID_SECRET: 1 to 32 lowercase letters and digits")
    return text


def _certificate_name(text: str) -> str:
    if not is_certificate_name(text):
        raise ValueError(f"must be 1 to {MAX_CERTIFICATE_NAME_LENGTH} printable ASCII characters")
    return text


def _moment(value: object) -> object:
    """Parse text, which JSON sources hold instead of a TOML date-time."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError("must be a date and time with a time zone, such as 2027-01-31T00:00:00Z")
    return moment


TokenId = Annotated[str, AfterValidator(_token_id)]
CertificateName = Annotated[str, AfterValidator(_certificate_name)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class TokenSettings(Section):
    """One token of a caller, as `aimanager-server token NAME` prints it."""

    id: TokenId
    """The ID within the token `aim_ID_SECRET`, different for each token. It is not confidential."""
    sha256: Sha256Hex = Field(repr=False)
    """The SHA-256 of the whole token."""
    expires: Moment | None = None
    """When the token expires, such as `2027-01-31T00:00:00Z`. A warning is logged during the 14 days before."""


class CallerSettings(Section):
    """One caller of the gateway."""

    tokens: list[TokenSettings] = Field(default_factory=list)
    """Its tokens, any number. Required unless client certificates are."""
    certificate_names: list[CertificateName] = Field(default_factory=list)
    """SPIFFE IDs, DNS names or common names of its client certificates. If empty, the name of the caller itself."""
    tier: str = DEFAULT_TIER
    """The tier with its quotas. If no tiers are defined, calls are not limited."""
    role: Literal["caller", "admin"] = "caller"
    """An admin sees usage, quality and health with the data of all callers, a caller only its own."""


class ProviderTier(Section):
    """Quotas of a tier at one provider."""

    requests_per_minute: PositiveInt | None = None
    """Requests per minute; unlimited if not set."""
    tokens_per_minute: PositiveInt | None = None
    """Input and output tokens per minute; unlimited if not set."""


class Tier(ProviderTier):
    """Quotas of each caller in the tier, across all providers and per provider."""

    reads_per_minute: PositiveInt | None = 600
    """Calls per minute that the gateway answers itself, such as for models and health."""
    providers: dict[Name, ProviderTier] = Field(default_factory=dict)
    """Additional quotas per provider."""
