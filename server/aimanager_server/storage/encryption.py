"""Encryption of what is stored: AES-256-GCM, with a key id beside every value so that keys can be rotated."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Protocol

from ..config.errors import StartupError

PLAINTEXT = ""
"""Cipher name of values that are not encrypted."""

CIPHER_PREFIX = "aes-256-gcm:"
KEY_BYTES, NONCE_BYTES = 32, 12
KEY_ID_BYTES = 4
"""Random bytes of a key's id: values name their key by its id, so two keys must never have the same."""
KEY_LINE = re.compile(r"([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/_=-]+)")


class Cipher(Protocol):
    """Encrypts values. The name of the cipher is stored beside each of them."""

    @property
    def name(self) -> str:
        """The name of the cipher that encrypts."""
        ...

    def encrypt(self, value: bytes, context: bytes) -> tuple[str, bytes]:
        """Return the name of the cipher and the encrypted value, which can be read only in the same `context`."""
        ...

    def decrypt(self, name: str, value: bytes, context: bytes) -> bytes:
        """Return the value. Raises UnreadableValue."""
        ...


class UnreadableValue(Exception):
    """A stored value cannot be decrypted: its key is missing, or it was changed."""


class NoEncryption:
    """Stores values as they are."""

    name = PLAINTEXT

    def encrypt(self, value: bytes, context: bytes) -> tuple[str, bytes]:
        """Return the value."""
        return PLAINTEXT, value

    def decrypt(self, name: str, value: bytes, context: bytes) -> bytes:
        """Return the value. Raises UnreadableValue if it is encrypted."""
        if name != PLAINTEXT:
            raise UnreadableValue(f"A value is encrypted with {name}; set storage.encryption_key_file.")
        return value


class Encryption:
    """Encrypts with the first key, and decrypts with all of them. Values stored without encryption remain readable."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._ciphers = {f"{CIPHER_PREFIX}{name}": AESGCM(key) for name, key in keys.items()}
        self.name = next(iter(self._ciphers))

    def encrypt(self, value: bytes, context: bytes) -> tuple[str, bytes]:
        """Return the name of the cipher and the nonce with the encrypted value."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self.name, nonce + self._ciphers[self.name].encrypt(nonce, value, context)

    def decrypt(self, name: str, value: bytes, context: bytes) -> bytes:
        """Return the value. Raises UnreadableValue if its key is missing or it was changed."""
        from cryptography.exceptions import InvalidTag

        if name == PLAINTEXT:
            return value
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise UnreadableValue(f"The key of {name} is missing in storage.encryption_key_file.")
        try:
            return cipher.decrypt(value[:NONCE_BYTES], value[NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:  # ValueError: it is too short to have a nonce
            raise UnreadableValue(f"A value encrypted with {name} was changed, or its key was replaced.") from error


def cipher_of(key_file: Path | None) -> Cipher:
    """Return the cipher of a key file: one `ID:KEY` a line, the key in base64; the first key encrypts.

    Raises StartupError, without the content of the file, if it has no valid key.
    """
    if key_file is None:
        return NoEncryption()
    try:
        lines = key_file.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"storage.encryption_key_file {key_file} cannot be read: {error}.") from error
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        name, key = _parse_key(line)
        if len(key) != KEY_BYTES:
            raise StartupError(
                f"storage.encryption_key_file {key_file}, entry {number}: must be ID:KEY with a key of {KEY_BYTES} "
                "bytes in base64; 'aimanager-server storage key' prints one."
            )
        if name in keys:
            raise StartupError(
                f"storage.encryption_key_file {key_file}, entry {number}: the id {name} is that of an earlier entry. "
                + (
                    "The key is the same too: remove one of the two lines."
                    if keys[name] == key
                    else "Give the key that has encrypted nothing yet another id: 'aimanager-server storage key' "
                    "prints a key with an id of its own."
                )
            )
        keys[name] = key
    if not keys:
        raise StartupError(f"storage.encryption_key_file {key_file} is empty.")
    return Encryption(keys)


def new_key_id(day: date) -> str:
    """Return an id for a key that was made on this day, which no other key has.

    >>> new_key_id(date(2026, 11, 27))[:11]
    '2026-11-27-'
    """
    return f"{day.isoformat()}-{secrets.token_hex(KEY_ID_BYTES)}"


def new_key_line(name: str) -> str:
    """Return a line with a new random key.

    >>> _parse_key(new_key_line("2026"))[0]
    '2026'
    """
    return f"{name}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def _parse_key(line: str) -> tuple[str, bytes]:
    match = KEY_LINE.fullmatch(line)
    if match is None:
        return "", b""
    try:
        return match[1], base64.b64decode(match[2].replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        return "", b""
