"""Mark the opaque state of a provider with the API key that obtained it: others may not be able to use it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from .content import Message, Reasoning, Text, ToolCall
from .errors import ProviderRejectedRequest

MARK = b"key="
SEPARATOR = b";"

FINGERPRINT_BYTES = 8
"""Enough to tell the keys of one provider apart, and far too little to recover one."""

MIN_SECRET_LENGTH = 16
"""A shorter key could be guessed from its fingerprint, so it has none."""


class ProviderStateRejected(ProviderRejectedRequest):
    """The provider rejected the state of earlier turns, such as state that another organization obtained."""


def fingerprint_of(secret: str) -> str:
    """Return a one-way fingerprint of an API key, the same on every server; empty for a short key.

    >>> fingerprint_of("sk-0123456789abcdef"), fingerprint_of("local")
    ('040c1f6d341a7a6b', '')
    """
    if len(secret) < MIN_SECRET_LENGTH:
        return ""
    return hmac.digest(secret.encode(), b"aimanager provider_state", hashlib.sha256)[:FINGERPRINT_BYTES].hex()


def marked(state: bytes, fingerprint: str) -> bytes:
    """Return the state with the fingerprint of the key that obtained it.

    >>> marked(b"Eq==", "76a8cf29afc04d47")
    b'key=76a8cf29afc04d47;Eq=='
    """
    return b"".join((MARK, fingerprint.encode(), SEPARATOR, state))


def unmarked(state: bytes) -> bytes:
    """Return the state as the provider sent it.

    >>> unmarked(b"key=76a8cf29afc04d47;Eq=="), unmarked(b"Eq==")
    (b'Eq==', b'Eq==')
    """
    return _split(state)[1]


def is_obtained_with(state: bytes, secret: str) -> bool:
    """Return whether the state is marked with this API key.

    >>> is_obtained_with(b"key=040c1f6d341a7a6b;Eq==", "sk-0123456789abcdef"), is_obtained_with(b"Eq==", "local")
    (True, False)
    """
    fingerprint = _split(state)[0]
    return fingerprint != "" and fingerprint == fingerprint_of(secret)


def carries_state(messages: Sequence[Message], provider: str) -> bool:
    """Return whether the messages carry state of this provider."""
    return any(part.provider_state for message in messages if message.provider == provider for part in message.parts)


def latest_fingerprint(messages: Sequence[Message], provider: str) -> str:
    """Return the fingerprint of the key that obtained the latest state of this provider; empty if none is marked."""
    for message in reversed(messages):
        if message.provider != provider:
            continue
        for part in reversed(message.parts):
            if isinstance(part, Text | Reasoning | ToolCall) and part.provider_state.startswith(MARK):
                return _split(part.provider_state)[0]
    return ""


def _split(state: bytes) -> tuple[str, bytes]:
    """Return the fingerprint, empty for state without a mark, and the state itself."""
    if not state.startswith(MARK):
        return "", state
    fingerprint, _, own = state[len(MARK) :].partition(SEPARATOR)
    return fingerprint.decode("ascii", "replace"), own
