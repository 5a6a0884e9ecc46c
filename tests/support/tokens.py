"""Callers with well-known tokens."""

from __future__ import annotations

import hashlib
from typing import Any


def token_of(caller: str) -> str:
    """The token of a caller from `callers`."""
    secret = hashlib.sha256(f"secret of {caller}".encode()).hexdigest()
    return f"aim_{caller.replace('-', '')}_{secret}"


def token_settings(token: str, **fields: object) -> dict[str, object]:
    """The settings of a token."""
    return {"id": token.split("_")[1], "sha256": hashlib.sha256(token.encode()).hexdigest(), **fields}


def caller_settings(name: str, **fields: object) -> dict[str, object]:
    """The settings of a caller with the token `token_of(name)`."""
    return {"tokens": [token_settings(token_of(name))], **fields}


def callers(*names: str, **fields: object) -> dict[str, Any]:
    """Callers with the tokens `token_of(NAME)`."""
    return {name: caller_settings(name, **fields) for name in names}


def bearer(caller: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a caller."""
    return (("authorization", f"Bearer {token_of(caller)}"),)
