"""Secrets: tokens by their form, private keys, passwords in URLs, and random values after a name that says secret."""

from __future__ import annotations

import math
import re
from collections import Counter

from ..config.secret_shapes import TOKEN_SHAPES
from .detector import Detector, Span

WORDS = 1
"""Group of the patterns that begin at any word."""

MIN_RANDOM_RUN = 16
"""Letters and digits in a row that a token without a distinctive prefix must have, which names made of words lack."""

MIN_NAMED_LENGTH, MAX_NAMED_LENGTH = 8, 200
MIN_NAMED_ENTROPY = 3.0
"""Shannon entropy, in bits per character, of a value after a name such as password."""

MIN_TOKEN_LENGTH = 20
MAX_JWT_HEADER, MIN_JWT_PAYLOAD = 1000, 12

GENERIC = rb"(?:gsk|hf|nvapi|pk|pplx|r8|rk|sk|xai)[_\-][A-Za-z0-9_\-]+"
PREFIXES = b"|".join(f"{shape.prefix}[{shape.characters}]+".encode() for shape in TOKEN_SHAPES)
TOKEN_CANDIDATE = rb"\b(?:" + PREFIXES + b"|" + GENERIC + rb")"
TOKEN = re.compile("|".join(shape.pattern for shape in TOKEN_SHAPES).encode())
RUN = re.compile(rb"[A-Za-z0-9]{%d,}" % MIN_RANDOM_RUN)
KINDS = (re.compile(rb"[a-z]"), re.compile(rb"[A-Z]"), re.compile(rb"[0-9]"))

JWT_PAYLOAD = rb"\.eyJ[A-Za-z0-9_\-.]*"
JWT_HEADER = re.compile(rb"(?:.*[^A-Za-z0-9_\-])?(eyJ[A-Za-z0-9_\-]{8,})", re.DOTALL)

URL_CREDENTIALS = rb"://[^\s/:@?\"'<>]{0,100}:[^\s/?\"'<>]{1,200}@"
AUTHORIZATION = rb"(?i:bearer|authorization[\"']?[:=][ \t]{0,3}[\"']?(?:basic|token)) [A-Za-z0-9._~+/\-]+=*"

SECRET_NAME = (
    rb"(?i:passw(?:or)?d|pwd|passphrase|secret|token|(?:api|access|private|auth|encryption)[_\-]?key|credentials?)"
)
NAMED_VALUE = SECRET_NAME + rb"[\"']?[ \t]{0,3}(?:=>?|:=?)[ \t]{0,3}[\"']?[A-Za-z0-9_\-+/=.~!@#$%^&*]+"
VALUE = re.compile(rb"[:=>][ \t]*[\"']?([A-Za-z0-9_\-+/.~!@#$%^&*][A-Za-z0-9_\-+/=.~!@#$%^&*]*)$")
REFERENCE = re.compile(rb"[$%]|(?:[A-Za-z_]+[0-9]?\.)+[A-Za-z_]")
"""A value that names another one, such as $PASSWORD or settings.token."""

PEM_SEPARATOR = rb"(?:\\[nrt]|\s)"
PEM_HEADER = rb"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"
PRIVATE_KEY = (
    PEM_HEADER
    + rb"(?:" + PEM_SEPARATOR + rb"*[A-Z][A-Za-z\-]{2,20}: [A-Za-z0-9,\-]{1,80}" + PEM_SEPARATOR + rb"+){0,3}"
    + rb"[A-Za-z0-9+/=\s\\]*(?:-----END [A-Z ]{0,40}-----)?"
)  # fmt: skip
KEY_LINE = re.compile(rb"[A-Za-z0-9+/=]{20,}")
PEM_FOOTER_START = re.compile(rb"-{0,5}|-----[A-Z ]{0,44}-{0,5}")


class Tokens(Detector):
    """Tokens that a prefix identifies."""

    pattern = TOKEN_CANDIDATE
    label = "SECRET"
    group = WORDS

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept tokens of the known length, and others that look random."""
        is_token = TOKEN.match(text, start, end) or (end - start >= MIN_TOKEN_LENGTH and _is_random(text[start:end]))
        return (start, end) if is_token else None


class JsonWebTokens(Detector):
    """Tokens of three parts of which two are JSON objects in base64."""

    pattern = JWT_PAYLOAD
    label = "SECRET"
    required = b".eyJ"
    longest_prefix = MAX_JWT_HEADER + 8
    has_spaces = False

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept what has a header before the payload."""
        # With the character before it, which tells whether a word begins there.
        header = JWT_HEADER.fullmatch(text, max(0, floor - 1, start - MAX_JWT_HEADER - 1), start)
        if header is None or header.start(1) < floor or end - start < MIN_JWT_PAYLOAD:
            return None
        return header.start(1), start + len(text[start:end].rstrip(b"."))


class UrlCredentials(Detector):
    """User names and passwords in URLs. Names in capital letters and references to variables are no passwords."""

    pattern = URL_CREDENTIALS
    label = "SECRET"
    required = b"://"
    longest_prefix = 310
    has_spaces = False

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept the part between the scheme and the host."""
        password = text[text.index(b":", start + 3) + 1 : end - 1]
        is_example = password[:1] in b"$%{" or (password.isupper() and password.isalpha())
        return None if is_example else (start + 3, end - 1)


class Authorization(Detector):
    """The values of authorization headers."""

    pattern = AUTHORIZATION
    label = "SECRET"
    group = WORDS

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept values that look random."""
        value = text.rindex(b" ", start, end) + 1
        return (value, end) if _is_random(text[value:end]) else None


class PrivateKeys(Detector):
    """Private keys in PEM, also without their end or with escaped line feeds."""

    pattern = PRIVATE_KEY
    label = "SECRET"
    required = b"PRIVATE KEY-----"
    longest_prefix = 80

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept what has a line of key material."""
        header = text.index(b"KEY-----", start) + 8
        return (start, end) if KEY_LINE.search(text, header, end) else None

    def may_continue(self, text: bytes, end: int) -> bool:
        """Return whether the last line of the key may follow."""
        return len(text) - end <= 64 and PEM_FOOTER_START.fullmatch(text, end) is not None


class NamedSecrets(Detector):
    """Random values after a name such as password or api_key."""

    pattern = NAMED_VALUE
    label = "SECRET"
    group = WORDS
    longest_prefix = 32

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Accept values that look random."""
        found = VALUE.search(text, start, end)
        if found is None or not _is_secret_value(found[1]) or text[end : end + 1] in (b"(", b"["):
            return None
        return found.start(1), end


def _is_random(text: bytes) -> bool:
    """Return whether the text has a long run of letters and digits of two kinds, as random text in base64 has."""
    return any(sum(kind.search(run) is not None for kind in KINDS) >= 2 for run in RUN.findall(text))


def _is_secret_value(value: bytes) -> bool:
    if not MIN_NAMED_LENGTH <= len(value) <= MAX_NAMED_LENGTH or REFERENCE.match(value):
        return False
    has_letter = any(kind.search(value) for kind in KINDS[:2])
    return has_letter and KINDS[2].search(value) is not None and entropy(value) >= MIN_NAMED_ENTROPY


def entropy(value: bytes) -> float:
    """Return the Shannon entropy in bits per character.

    >>> entropy(b"aaaa"), entropy(b"abcd")
    (0.0, 2.0)
    """
    total = len(value)
    return 0.0 - sum(count / total * math.log2(count / total) for count in Counter(value).values())
