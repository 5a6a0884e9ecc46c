"""The kinds of value a setting can have, and what is accepted for each; no message here ever repeats a value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

MIB = 1024 * 1024
LONGEST_SECONDS = 864_000.0
"""Ten days: whoever wants to wait longer means something else."""
ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9][A-Za-z0-9.-]*)):(\d{1,5})")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
HEX_SHA256 = re.compile(r"[0-9a-f]{64}")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
KEY_FILE_BYTES = 64 * 1024

Place = tuple[str | int, ...]
"""Where a value stands below some section: `("keys", 0, "weight")`."""


class Section(BaseModel):
    """A table of the settings: frozen, strict about types, closed to unknown keys, silent about values in errors."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def misfits(found: Sequence[tuple[Place, str]]) -> PydanticCustomError:
    """An error of several values that are wrong together, each with its own place below the section."""
    text = "; ".join(text for _, text in found)
    return PydanticCustomError("misfits", "{text}", {"text": text, "found": tuple(found)})


def host_of(address: str) -> str:
    """The host of a listen address, without brackets. Raises ValueError where it is none."""
    match = ADDRESS.fullmatch(address)
    if match is None or int(match[3]) > 65535 or not (match[2] or _is_ip(match[1])):
        raise ValueError("is not an address; accepted is host:port, such as 127.0.0.1:50051 or [::]:50051")
    return match[1] or match[2]


def is_loopback(host: str) -> bool:
    """Whether the host reaches this machine alone.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.9", "::1", "0.0.0.0", "example.com")]
    [True, True, True, False, False]
    """
    return host == "localhost" or (_is_ip(host) and ip_address(host).is_loopback)


def key_from(path: Path) -> str:
    """The key that a file holds alone; blanks and line ends around it are dropped. Raises ValueError."""
    try:
        with path.open("rb") as file:
            content = file.read(KEY_FILE_BYTES)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); accepted is a file that holds the key alone") from None
    return checked_key(content.decode("ascii", "replace"))


def checked_key(text: str) -> str:
    """The key without blanks around it. Raises ValueError where nothing is left or a header could not carry it."""
    key = text.strip()
    if not key:
        raise ValueError("is empty; accepted is a key, or nothing said at all")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("holds a blank, a line break or a letter beyond ASCII; accepted is one key alone")
    return key


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _address(text: str) -> str:
    host_of(text)
    return text


def _off(value: object) -> object:
    return None if value == "off" else value


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError("is not a name; accepted are 1 to 63 lower-case letters, digits, - and _")
    return text


def _digest(text: str) -> str:
    if not HEX_SHA256.fullmatch(text.lower()):
        raise ValueError("is not a digest; accepted are the 64 hexadecimal digits of the token's SHA-256, never itself")
    return text.lower()


def _readable(path: Path) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); accepted is the path of a readable file") from None


def _key(secret: SecretStr) -> SecretStr:
    return SecretStr(checked_key(secret.get_secret_value()))


def _header_name(text: str) -> str:
    if not HEADER_NAME.fullmatch(text):
        raise ValueError("is not the name of an HTTP header")
    return text


def _header_value(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("is not the value of an HTTP header; accepted is printable ASCII on one line")
    return text


Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
Name = Annotated[str, AfterValidator(_name)]
Address = Annotated[str, AfterValidator(_address)]
Listener = Annotated[Address | None, BeforeValidator(_off)]
Digest = Annotated[str, AfterValidator(_digest)]
File = Annotated[Path, Field(strict=False), AfterValidator(_readable)]
KeyFile = Annotated[Path, Field(strict=False)]
Key = Annotated[SecretStr, AfterValidator(_key)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
