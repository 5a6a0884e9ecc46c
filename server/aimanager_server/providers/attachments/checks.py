"""Says what must hold of a fetched file, and what its caller is told where it does not hold.

No message repeats an address, which may hold a signature, or what a name resolved to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.errors import FieldViolation, InvalidRequest, PayloadTooLarge

AS_DATA = "Give an address that answers in the open with the file itself, or send the file as data."

FIRST_BYTES: Mapping[str, tuple[bytes, ...]] = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "application/pdf": (b"%PDF-",),
}
"""WebP is told by two places, and so stands in the code."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One file to be fetched. `field` is where its address stands in the request."""

    field: str
    mime_type: str
    most_bytes: int

    def refusal(self, description: str, solution: str = AS_DATA) -> InvalidRequest:
        """What the caller is told; the description goes on from "the address"."""
        violation = FieldViolation(self.field, description)
        return InvalidRequest(f"{self.field}: {description}.", solution=solution, violations=(violation,))

    def too_large(self, actual: int) -> PayloadTooLarge:
        """The same for a file of at least so many bytes."""
        description = f"has {actual} bytes or more, at most {self.most_bytes} are taken"
        return PayloadTooLarge(
            f"{self.field}: {description}.",
            violations=(FieldViolation(self.field, description),),
            metadata={"limit": str(self.most_bytes), "actual": str(actual)},
        )

    def check_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Raises InvalidRequest or PayloadTooLarge where the file will not be what was declared."""
        if 300 <= status < 400:
            raise self.refusal("leads on to another address, which is not followed", "Give the address it leads to.")
        if status != 200:
            raise self.refusal(f"is answered with the status {status}, not with 200")
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise self.refusal("is answered with a compressed file, though none was asked for")
        sent = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if _plain(sent) != _plain(self.mime_type):
            description = f"is answered with the type {sent[:64]!r}, where {self.mime_type!r} was declared"
            raise self.refusal(description, "Declare the mime_type that the address gives, or send the file as data.")
        length = headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > self.most_bytes:
            raise self.too_large(int(length))

    def check_data(self, data: bytes) -> None:
        """Raises InvalidRequest where the bytes are no file of the declared type."""
        if not begins_as(self.mime_type, data):
            description = f"gives bytes that are not of the type {self.mime_type!r}"
            raise self.refusal(description, "Declare the type that the file has, or give the address of another.")


def begins_as(mime_type: str, data: bytes) -> bool:
    """Whether the first bytes are those of the type; False for a type that is never fetched.

    >>> begins_as("image/png", b"GIF89a"), begins_as("application/pdf", b"%PDF-1.7")
    (False, True)
    """
    if mime_type == "image/webp":
        return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return data.startswith(FIRST_BYTES.get(_plain(mime_type), ()))


def _plain(mime_type: str) -> str:
    """Without the alias that some use."""
    return "image/jpeg" if mime_type == "image/jpg" else mime_type
