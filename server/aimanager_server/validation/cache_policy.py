"""Validate the cache policy of a request."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.cache_policy import CacheMode, CachePolicy
from ..core.errors import FieldViolation


def cache_policy_violations(policy: CachePolicy) -> Iterator[FieldViolation]:
    """Yield why the policy cannot be used."""
    max_age = policy.max_age
    if max_age is None:
        return
    # The condition is also true for NaN.
    if not max_age > 0:
        yield FieldViolation("cache_policy.max_age", f"must be greater than 0 s, got {max_age:g} s")
    elif policy.mode is not CacheMode.USE:
        yield FieldViolation("cache_policy.max_age", "requires CACHE_MODE_USE")
