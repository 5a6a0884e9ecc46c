"""Value types of settings and their validation. No message repeats a value: it could be a secret."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

MIB = 1024 * 1024
MAX_SECONDS = 864_000.0
"""Ten days. A longer duration is taken for a mistake in the unit."""
LISTEN_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9][A-Za-z0-9.-]*)):(\d{1,5})")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
HEX_SHA256 = re.compile(r"[0-9a-f]{64}")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
KEY_FILE_BYTES = 64 * 1024
MAX_FILE_BYTES = 16 * MIB
"""Bytes of a file that are compared with its earlier content."""

SettingPath = tuple[str | int, ...]
"""Path of a setting below some section, such as `("keys", 0, "weight")`."""


class Section(BaseModel):
    """A table of settings: frozen, strictly typed, closed to unknown keys, and without values in its errors."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class SectionWithFiles(Section):
    """A table that names files. Two are equal only if the contents of their files were equal when they were loaded."""

    _digests: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def file_digests(self) -> Mapping[str, str]:
        """Return a digest of the content of each file, by the setting that names it."""
        return self._digests

    @model_validator(mode="after")
    def _digest_files(self) -> Self:
        files = {name: getattr(self, name) for name in type(self).model_fields}
        self._digests = {name: file_digest(path) for name, path in files.items() if isinstance(path, Path)}
        return self


def file_digest(path: Path) -> str:
    """Return a digest of the content of a file, or of the reason why it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MAX_FILE_BYTES)).hexdigest()
    except OSError as error:
        return f"unreadable: {error.errno}"


def invalid_values(found: Sequence[tuple[SettingPath, str]]) -> PydanticCustomError:
    """Return one validation error for several values, each with its path below the section and a message."""
    text = "; ".join(text for _, text in found)
    return PydanticCustomError("invalid_values", "{text}", {"text": text, "found": tuple(found)})


def listen_host(address: str) -> str:
    """Return the host of a listen address, without brackets. Raises ValueError for an invalid address."""
    match = LISTEN_ADDRESS.fullmatch(address)
    if match is None or int(match[3]) > 65535 or not (match[2] or _is_ip(match[1])):
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:50051 or [::]:50051")
    return match[1] or match[2]


def is_loopback(host: str) -> bool:
    """Return whether the host is reachable from this machine only.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.9", "::1", "0.0.0.0", "example.com")]
    [True, True, True, False, False]
    """
    return host == "localhost" or (_is_ip(host) and ip_address(host).is_loopback)


def read_key_file(path: Path) -> str:
    """Read a file that contains only an API key, and strip surrounding whitespace. Raises ValueError."""
    try:
        with path.open("rb") as file:
            content = file.read(KEY_FILE_BYTES)
    except OSError as error:
        raise ValueError(f"cannot read the file ({error.strerror}); it must contain only the API key") from None
    return validated_key(content.decode("ascii", "replace"))


def validated_key(text: str) -> str:
    """Return the API key without surrounding whitespace. Raises ValueError if an HTTP header cannot carry it."""
    key = text.strip()
    if not key:
        raise ValueError("must not be empty; remove the setting if no key is needed")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("must be one API key of printable ASCII characters without spaces")
    return key


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _listen_address(text: str) -> str:
    listen_host(text)
    return text


def _none_if_off(value: object) -> object:
    return None if value == "off" else value


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError("must be a name of 1 to 63 lowercase letters, digits, '-' and '_'")
    return text


def _sha256_hex(text: str) -> str:
    if not HEX_SHA256.fullmatch(text.lower()):
        raise ValueError("must be the SHA-256 of the token as 64 hexadecimal digits, not the token itself")
    return text.lower()


def _readable_file(path: Path) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"cannot read the file ({error.strerror})") from None


def _certificate_authorities(path: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:  # includes ssl.SSLError
        raise ValueError("must contain PEM certificates") from None
    return path


def _secret_key(secret: SecretStr) -> SecretStr:
    return SecretStr(validated_key(secret.get_secret_value()))


def _header_name(text: str) -> str:
    if not HEADER_NAME.fullmatch(text):
        raise ValueError("must be a valid HTTP header name")
    return text


def _header_value(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII on one line")
    return text


PositiveInt = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
Name = Annotated[str, AfterValidator(_name)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
OptionalListenAddress = Annotated[ListenAddress | None, BeforeValidator(_none_if_off)]
Sha256Hex = Annotated[str, AfterValidator(_sha256_hex)]
ReadableFile = Annotated[Path, Field(strict=False), AfterValidator(_readable_file)]
CertificateAuthorities = Annotated[ReadableFile, AfterValidator(_certificate_authorities)]
KeyFile = Annotated[Path, Field(strict=False)]
SecretKey = Annotated[SecretStr, AfterValidator(_secret_key)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
