"""Check that a fetched file matches what the request declared, and build the error if it does not.

No message quotes the URL, which may hold a signature, or the addresses that its host resolved to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.errors import FieldViolation, InvalidRequest, PayloadTooLarge

USE_PUBLIC_URL = "Use a public URL that returns the file without authentication, or send the file inline as data."

MAGIC_BYTES: Mapping[str, tuple[bytes, ...]] = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "application/pdf": (b"%PDF-",),
}
"""The first bytes of each type that is fetched. WebP has two signatures at different offsets: see the code."""


@dataclass(frozen=True, slots=True)
class FetchExpectation:
    """The declared properties of one file. `field` is the path of its URL in the request."""

    field: str
    mime_type: str
    max_bytes: int

    def rejected(self, description: str, solution: str = USE_PUBLIC_URL) -> InvalidRequest:
        """Return the error for the caller. `description` continues the name of the field."""
        violation = FieldViolation(self.field, description)
        return InvalidRequest(f"{self.field} {description}.", solution=solution, violations=(violation,))

    def too_large(self, actual_bytes: int) -> PayloadTooLarge:
        """Return the error for a file of at least `actual_bytes`."""
        description = f"must refer to a file of at most {self.max_bytes} bytes, got {actual_bytes} bytes or more"
        return PayloadTooLarge(
            f"{self.field} {description}.",
            violations=(FieldViolation(self.field, description),),
            metadata={"limit": str(self.max_bytes), "actual": str(actual_bytes)},
        )

    def check_headers(self, status: int, headers: Mapping[str, str]) -> None:
        """Raise InvalidRequest or PayloadTooLarge if the response cannot contain the declared file."""
        if 300 <= status < 400:
            raise self.rejected(
                "must not redirect; redirects are not followed", "Use the URL that the redirect points to."
            )
        if status != 200:
            raise self.rejected(f"must respond with status 200, got {status}")
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise self.rejected("must respond without compression; Accept-Encoding was identity")
        content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if _canonical(content_type) != _canonical(self.mime_type):
            raise self.rejected(
                f"must respond with the declared Content-Type {self.mime_type!r}, got {content_type[:64]!r}",
                "Declare the mime_type that the URL returns, or send the file inline as data.",
            )
        length = headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > self.max_bytes:
            raise self.too_large(int(length))

    def check_content(self, data: bytes) -> None:
        """Raise InvalidRequest if the bytes are not a file of the declared type."""
        if not has_magic_bytes(self.mime_type, data):
            raise self.rejected(
                f"must return a file of the declared type {self.mime_type!r}; its first bytes are of another type",
                "Declare the mime_type that the file has, or use the URL of another file.",
            )


def has_magic_bytes(mime_type: str, data: bytes) -> bool:
    """Return whether `data` begins with the signature of the type; False for types that are never fetched.

    >>> has_magic_bytes("image/png", b"GIF89a"), has_magic_bytes("application/pdf", b"%PDF-1.7")
    (False, True)
    """
    if mime_type == "image/webp":
        return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return data.startswith(MAGIC_BYTES.get(_canonical(mime_type), ()))


def _canonical(mime_type: str) -> str:
    return "image/jpeg" if mime_type == "image/jpg" else mime_type
