"""The answer to whether a rate limit admits a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimitResult:
    """Whether a request is admitted now. If not, `retry_after` says in how many seconds, and `message` explains it.

    >>> RateLimitResult(allowed=True)
    RateLimitResult(allowed=True, retry_after=None, message='')
    """

    allowed: bool
    retry_after: float | None = None
    message: str = ""
