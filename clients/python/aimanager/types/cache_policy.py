"""How a call uses the response cache of the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CacheMode = Literal["use", "refresh", "off"]


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How a call uses the gateway's response cache, for the option `cache` of a request.

    `mode`: "use" returns a stored response of an equal request, "refresh" generates a new one in its place, "off" does
    neither. `max_age` is the greatest age of a stored response in seconds, only with "use"; None leaves it to the
    gateway.

    >>> CachePolicy(max_age=300)
    CachePolicy(mode='use', max_age=300)
    """

    mode: CacheMode = "use"
    max_age: float | None = None
