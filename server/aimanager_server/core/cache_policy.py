"""Whether and how a call uses the response cache."""

from __future__ import annotations

from enum import StrEnum

from .value import dataclass


class CacheMode(StrEnum):
    """How a call uses the response cache: not at all, a stored response if there is one, or a new one in its place."""

    OFF = "off"
    USE = "use"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How a call uses the response cache.

    `max_age` is the greatest age of a stored response in seconds, None for the limit of the server. `mode` None means
    that the caller did not say; a `Call` has a policy only with USE or REFRESH.
    """

    mode: CacheMode | None = None
    max_age: float | None = None
