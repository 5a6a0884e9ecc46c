"""Keeps secrets out of what providers say: their error texts like to repeat the key."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[masked]"
LONGEST = 1000
SHORTEST_SECRET = 4

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
    """
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return cut(KEY_SHAPED.sub(MASK, text), longest)


def cut(text: str, longest: int) -> str:
    """At most `longest` characters, an ellipsis in place of the rest."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
