"""Generate a gateway token and the table that adds it to a caller."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from hashlib import sha256

from ..config.types import NAME

ID_BYTES, SECRET_BYTES = 4, 32


def new_token() -> str:
    """Return a random token: an ID by which the server finds it, and a secret of 256 bits."""
    return f"aim_{secrets.token_hex(ID_BYTES)}_{secrets.token_hex(SECRET_BYTES)}"


def token_table(token: str, caller: str, expires: str | None = None) -> str:
    """Return the TOML table of the token, which does not contain its secret and may be appended to a config file.

    `expires` is a date, which means its start in UTC, or a time. Raises ValueError for an invalid name or date.
    """
    if not NAME.fullmatch(caller):
        raise ValueError("NAME must be 1 to 63 lowercase letters, digits, '-' and '_'")
    lines = [
        f"[[callers.{caller}.tokens]]",
        f'id = "{token.split("_")[1]}"',
        f'sha256 = "{sha256(token.encode()).hexdigest()}"',
    ]
    if expires is not None:
        lines.append(f"expires = {_future(expires):%Y-%m-%dT%H:%M:%SZ}")
    return "\n".join(lines) + "\n"


def _future(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("--expires must be a date such as 2027-01-31") from None
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= datetime.now(UTC):
        raise ValueError("--expires must be in the future")
    return moment
