"""Removes secrets from text that others wrote, such as the error messages of providers, which often repeat the key."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from ..config.secret_shapes import KEY_SHAPED, SECRET_NAME

REDACTED = "[redacted]"
MAX_LENGTH = 1000
MIN_SECRET_LENGTH = 4
FRAGMENT_LENGTH = 8

NAMED_VALUE = re.compile(r"(?<![\w.\-])([\w.\-]++)\s*+[:=]\s*+")
VALUE_END = re.compile(r"[\n,]|$")


QUOTATION = re.compile(r"\"[^\"]*(?:\"|$)|`[^`]*(?:`|$)|“[^”]*(?:”|$)|(?<!\w)'[^']*(?:'(?!\w)|$)")
IDENTIFIER = re.compile(r"\S{1,80}")

REMEMBERED_CONFIGURATIONS = 3
"""Configurations whose secrets are redacted: the current one, one being checked, and one with calls in flight."""


class ConfiguredSecrets:
    """The secrets of the configuration, and those of earlier ones, which calls in flight may still use."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._remembered: deque[tuple[str, ...]] = deque([tuple(secrets)], REMEMBERED_CONFIGURATIONS)

    def add(self, secrets: Iterable[str]) -> None:
        """Add the secrets of a configuration before it is used; forget the oldest that differ from them."""
        added = tuple(secrets)
        if added in self._remembered:
            self._remembered.remove(added)
        self._remembered.append(added)

    def all(self) -> tuple[str, ...]:
        """Return every secret that is remembered."""
        return tuple({secret: None for secrets in self._remembered for secret in secrets})


def redact(text: str, secrets: Iterable[str] = (), max_length: int = MAX_LENGTH) -> str:
    """Replace these secrets and anything shaped like a key, then truncate to `max_length` characters.

    >>> redact("Incorrect API key provided: sk-proj-1234567890. See https://platform.example")
    'Incorrect API key provided: [redacted]. See https://platform.example'
    >>> redact("canary is not a key", ["canary"])
    '[redacted] is not a key'
    >>> redact("key ABCDEFGH1234 and its end 12345678", ["abcdefgh12345678"])
    'key [redacted] and its end [redacted]'
    """
    for secret in secrets:
        if len(secret) >= MIN_SECRET_LENGTH:
            text = _without_fragments(text.replace(secret, REDACTED), secret)
    return truncate(KEY_SHAPED.sub(REDACTED, text), max_length)


def redact_metadata(text: str) -> str:
    """Replace the values of `name: value` and `name=value` up to the next comma if the name says that they are secret.

    >>> redact_metadata("HTTP:1:HDR:SVR: x-provider-key-claude: canary")
    'HTTP:1:HDR:SVR: x-provider-key-claude: [redacted]'
    >>> redact_metadata(":authority: localhost, cookie: id=canary")
    ':authority: localhost, cookie: [redacted]'
    """
    pieces: list[str] = []
    end = 0
    for found in NAMED_VALUE.finditer(text):
        if found.start() >= end and SECRET_NAME.search(found[1]):
            pieces += text[end : found.end()], REDACTED
            value_end = VALUE_END.search(text, found.end())
            end = value_end.start() if value_end else len(text)
    return "".join((*pieces, text[end:]))


def without_quotations(text: str) -> str:
    """Replace what the text quotes, which may be a prompt, unless it is one short word such as the name of a model.

    >>> without_quotations("Invalid value 'tell me a secret' for `temperature`: can't parse")
    "Invalid value '…' for `temperature`: can't parse"
    """
    return QUOTATION.sub(_short_quotation, text)


def _short_quotation(found: re.Match[str]) -> str:
    quotation = found[0]
    return quotation if IDENTIFIER.fullmatch(quotation) else f"{quotation[0]}…{quotation[0]}"


def _without_fragments(text: str, secret: str) -> str:
    """Replace every run of FRAGMENT_LENGTH characters of the secret, in either case: providers quote keys in part."""
    fragments = {secret[start : start + FRAGMENT_LENGTH].lower() for start in range(len(secret) - FRAGMENT_LENGTH + 1)}
    lowered = text.lower()
    if not fragments or len(lowered) != len(text):
        return text
    pieces: list[str] = []
    start = 0
    while start < len(text):
        end = start
        while lowered[end : end + FRAGMENT_LENGTH] in fragments:
            end += 1
        pieces.append(REDACTED if end > start else text[start])
        start = end + FRAGMENT_LENGTH - 1 if end > start else start + 1
    return "".join(pieces)


def truncate(text: str, max_length: int) -> str:
    """Return at most `max_length` characters; an ellipsis replaces the rest."""
    return text if len(text) <= max_length else text[: max_length - 1] + "…"
