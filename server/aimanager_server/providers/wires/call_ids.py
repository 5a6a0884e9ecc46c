"""Fit the ids of tool calls to what a server accepts: a conversation may hold ids of another provider."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from string import ascii_letters, digits

CHARACTERS = digits + ascii_letters


@dataclass(frozen=True, slots=True)
class CallIds:
    """The ids that a server accepts. Any other id is replaced by one of `length` letters and digits."""

    accepted: re.Pattern[str]
    length: int

    def fit(self, call_id: str) -> str:
        """Return the id if the server accepts it, else an id derived from it, the same in every turn.

        >>> MISTRAL.fit("D681PevKs"), len(MISTRAL.fit("toolu_01A"))
        ('D681PevKs', 9)
        >>> MISTRAL.fit("toolu_01A") == MISTRAL.fit("toolu_01A")
        True
        """
        if self.accepted.fullmatch(call_id):
            return call_id
        number = int.from_bytes(sha256(call_id.encode("utf-8", "replace")).digest())
        base = len(CHARACTERS)
        return "".join(CHARACTERS[number // base**place % base] for place in range(self.length))


ANY = CallIds(re.compile(".*", re.DOTALL), 0)

# https://docs.mistral.ai/api/endpoint/chat, read 2026-11-22: nine letters or digits on older models.
MISTRAL = CallIds(re.compile("[A-Za-z0-9]{9}"), 9)

# Chat completions answer "Expected a string with maximum length 40", read 2026-11-22 in vercel/ai #8132.
OPENAI_CHAT = CallIds(re.compile(".{1,40}", re.DOTALL), 32)

# OpenAI's OpenAPI description, 2026-08-21: at most 64 characters in `function_call_output`.
RESPONSES = CallIds(re.compile(".{1,64}", re.DOTALL), 32)

# The Messages API answers "String should match pattern '^[a-zA-Z0-9_-]+$'".
ANTHROPIC = CallIds(re.compile("[A-Za-z0-9_-]{1,128}"), 32)
