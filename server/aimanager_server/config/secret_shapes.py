"""What secrets look like: names of values that are secret, and texts with the shape of a key."""

from __future__ import annotations

import re
from dataclasses import dataclass

SECRET_NAME = re.compile(
    r"key|token|secret|passw|passphrase|credential|auth(?!or)|cookie|signature|^sig$|session|bearer|sha256",
    re.IGNORECASE,
)
"""Names of options, metadata and query parameters whose values are secret."""


@dataclass(frozen=True, slots=True)
class TokenShape:
    """A token that services issue: a prefix, then `min_length` or more characters of one class."""

    prefix: str
    characters: str
    min_length: int

    @property
    def pattern(self) -> str:
        """Return the pattern of the whole token."""
        return f"{self.prefix}[{self.characters}]{{{self.min_length},}}"


WORD = "A-Za-z0-9_-"
ALNUM = "A-Za-z0-9"
HEX = "a-f0-9"

TOKEN_SHAPES = (
    TokenShape(r"A(?:KI|SI|BI|CC)A", "A-Z2-7", 16),  # AWS
    TokenShape(r"gh[oprsu]_", ALNUM, 36),  # GitHub
    TokenShape(r"github_pat_", "A-Za-z0-9_", 22),
    TokenShape(r"gl(?:agent|cbt|dt|ft|imt|oas|pat|ptt|rt|soat)-", WORD, 20),  # GitLab
    TokenShape(r"xox[abeoprs]-", "A-Za-z0-9-", 10),  # Slack
    TokenShape(r"xapp-", "A-Za-z0-9-", 20),
    TokenShape(r"[rs]k_(?:live|prod|test)_", ALNUM, 10),  # Stripe
    TokenShape(r"whsec_", "A-Za-z0-9+/=", 24),
    TokenShape(r"sk-(?:admin|ant|or|proj|svcacct)-", WORD, 20),  # Anthropic, OpenAI, OpenRouter
    TokenShape(r"AIza", WORD, 35),  # Google
    TokenShape(r"ya29\.", WORD, 20),
    TokenShape(r"GOCSPX-", WORD, 24),
    TokenShape(r"hf_", ALNUM, 30),  # Hugging Face
    TokenShape(r"npm_", ALNUM, 36),
    TokenShape(r"pypi-AgE", WORD, 50),
    TokenShape(r"rubygems_", HEX, 48),
    TokenShape(r"SG\.", "A-Za-z0-9_.-", 66),  # SendGrid
    TokenShape(r"key-", HEX, 32),  # Mailgun
    TokenShape(r"SK", HEX, 32),  # Twilio
    TokenShape(r"do[oprt]_v1_", HEX, 64),  # DigitalOcean
    TokenShape(r"shp(?:at|ca|pa|ss)_", "A-Fa-f0-9", 32),  # Shopify
    TokenShape(r"dapi", HEX, 32),  # Databricks
    TokenShape(r"dckr_pat_", WORD, 27),  # Docker
    TokenShape(r"hv[bs]\.", WORD, 24),  # Vault
    TokenShape(r"dp\.(?:ct|pt|st)\.", "A-Za-z0-9.", 40),  # Doppler
    TokenShape(r"lin_api_", ALNUM, 40),  # Linear
    TokenShape(r"ntn_", ALNUM, 40),  # Notion
    TokenShape(r"gl(?:c|sa)_", "A-Za-z0-9+/=_", 32),  # Grafana
    TokenShape(r"NRAK-", "A-Z0-9", 27),  # New Relic
    TokenShape(r"AGE-SECRET-KEY-1", "A-Z0-9", 58),
    TokenShape(r"[0-9]{8,10}:AA", WORD, 33),  # Telegram
)
"""Tokens that their form alone identifies. Sources: the rules of gitleaks 8.28 and detect-secrets 1.5, read 2026-11-27,
and the providers' own documentation. The patterns are valid for RE2 too."""

KEY_SHAPED = re.compile(
    rf"""
      (?<![A-Za-z0-9]) (?: sk | pk | rk | gsk | xai | pplx | hf | nvapi ) [-_] [A-Za-z0-9_*\-]{{6,}}
    | AIza [A-Za-z0-9_*\-]{{10,}}
    | eyJ [A-Za-z0-9_\-]{{10,}} (?: \. [A-Za-z0-9_.\-]+ )?
    | (?<= [Bb]earer\  ) [^\s"',;]{{6,}}
    | (?<![A-Za-z0-9]) (?: {" | ".join(shape.pattern for shape in TOKEN_SHAPES)} )
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
