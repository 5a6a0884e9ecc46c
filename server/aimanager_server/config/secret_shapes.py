"""What secrets look like: names of values that are secret, and texts with the shape of a key."""

from __future__ import annotations

import re

SECRET_NAME = re.compile(
    r"key|token|secret|passw|passphrase|credential|auth(?!or)|cookie|signature|^sig$|session|bearer|sha256",
    re.IGNORECASE,
)
"""Names of options, metadata and query parameters whose values are secret."""

KEY_SHAPED = re.compile(
    r"""
      (?<![A-Za-z0-9]) (?: sk | pk | rk | gsk | xai | pplx | hf | nvapi ) [-_] [A-Za-z0-9_*\-]{6,}
    | AIza [A-Za-z0-9_*\-]{10,}
    | eyJ [A-Za-z0-9_\-]{10,} (?: \. [A-Za-z0-9_.\-]+ )?
    | (?<= [Bb]earer\  ) [^\s"',;]{6,}
    """,
    re.VERBOSE,
)
"""Texts with the shape of a provider's API key or of a token."""

URL_USER = re.compile(r"(?<=://)[^/?#@\s]+(?=@)")
QUERY_PARAMETER = re.compile(r"(?<=[?&;])([^=&;#\s]++)=([^&;#\s]++)")
OPAQUE_SEGMENT = re.compile(r"(?<=/)(?=[A-Za-z_]*[0-9])(?=[0-9_]*[A-Za-z])[A-Za-z0-9_]{24,}(?![^/?#\s])")
"""A part of a path that is a long word of letters and digits: an account, or a secret."""


def without_secrets(text: str, mask: str) -> str:
    """Return the text with `mask` in place of keys, and of users, secret parameters and opaque path segments of URLs.

    >>> without_secrets("https://ann:hunter2@host/v1?api_key=abc&page=2", "•")
    'https://•@host/v1?api_key=•&page=2'
    >>> without_secrets("https://host/0a1b2c3d4e5f6a7b8c9d0e1f/gpt-4o-mini-2024-07-18", "•")
    'https://host/•/gpt-4o-mini-2024-07-18'
    """
    text = KEY_SHAPED.sub(mask, text)
    if "://" not in text:
        return text
    text = URL_USER.sub(mask, text)
    text = QUERY_PARAMETER.sub(lambda found: f"{found[1]}={mask}" if SECRET_NAME.search(found[1]) else found[0], text)
    return OPAQUE_SEGMENT.sub(mask, text)
