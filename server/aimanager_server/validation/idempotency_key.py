"""Validate idempotency keys: a caller without a name needs one that others cannot guess."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..core.errors import FieldViolation
from ..core.request import Caller
from .violations import too_long

FIELD = "idempotency_key"

MAX_IDEMPOTENCY_KEY_LENGTH = 255

MIN_HEX_LENGTH, MIN_BASE64_LENGTH = 32, 22
"""Characters that hold 128 random bits."""

HEX_KEY = re.compile(r"[0-9A-Fa-f-]+")
RANDOM_KEY = re.compile(rf"[A-Za-z0-9_-]{{{MIN_BASE64_LENGTH},}}=*")

SECRET_KEY = (
    f"must have at least {MIN_HEX_LENGTH} hexadecimal or {MIN_BASE64_LENGTH} base64url characters, all random, for a "
    "caller without a name, since all such callers share the stored responses; send a UUID, or a gateway token"
)


def idempotency_key_violations(key: str, caller: Caller) -> Iterator[FieldViolation]:
    """Yield why the key cannot be used by this caller. No message repeats the key, which gives access to a response."""
    yield from too_long(FIELD, key, MAX_IDEMPOTENCY_KEY_LENGTH)
    if not (caller.name or caller.is_only or is_hard_to_guess(key)):
        yield FieldViolation(FIELD, SECRET_KEY)


def is_hard_to_guess(key: str) -> bool:
    """Return whether the key is long enough to hold 128 random bits. Whether they are random cannot be seen.

    >>> is_hard_to_guess("2f6c1f9e-58a7-4ad1-9d0e-6f5a2a3f7c11"), is_hard_to_guess("order-4711")
    (True, False)
    """
    if HEX_KEY.fullmatch(key):
        return len(key) - key.count("-") >= MIN_HEX_LENGTH
    return RANDOM_KEY.fullmatch(key) is not None
