"""Keeps secrets out of what providers say: their error texts like to repeat the key."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[masked]"
LONGEST = 1000
SHORTEST_SECRET = 4
PIECE = 8

KEY_SHAPED = re.compile(
    r"""
      (?<![A-Za-z0-9]) (?: sk | pk | rk | gsk | xai | pplx | hf | nvapi ) [-_] [A-Za-z0-9_*\-]{6,}
    | AIza [A-Za-z0-9_*\-]{10,}
    | eyJ [A-Za-z0-9_\-]{10,} \. [A-Za-z0-9_.\-]+
    | (?<= [Bb]earer\  ) [^\s"',;]{6,}
    """,
    re.VERBOSE,
)


def masked(text: str, secrets: Iterable[str] = (), longest: int = LONGEST) -> str:
    """The text without these secrets or anything shaped like a key, cut to `longest` characters.

    >>> masked("Incorrect API key provided: sk-proj-1234567890. See https://platform.example")
    'Incorrect API key provided: [masked]. See https://platform.example'
    >>> masked("canary is not a key", ["canary"])
    '[masked] is not a key'
    >>> masked("key ABCDEFGH1234 and its end 12345678", ["abcdefgh12345678"])
    'key [masked] and its end [masked]'
    """
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = _without_pieces(text.replace(secret, MASK), secret)
    return cut(KEY_SHAPED.sub(MASK, text), longest)


def _without_pieces(text: str, secret: str) -> str:
    """Providers like to repeat a key in part, or in capitals: no run of PIECE of its letters stays."""
    known = {secret[start : start + PIECE].lower() for start in range(len(secret) - PIECE + 1)}
    lowered = text.lower()
    if not known or len(lowered) != len(text):
        return text
    kept: list[str] = []
    at = 0
    while at < len(text):
        end = at
        while lowered[end : end + PIECE] in known:
            end += 1
        kept.append(MASK if end > at else text[at])
        at = end + PIECE - 1 if end > at else at + 1
    return "".join(kept)


def cut(text: str, longest: int) -> str:
    """At most `longest` characters, an ellipsis in place of the rest."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
