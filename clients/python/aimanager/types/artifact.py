"""An artifact in a response, and how to save it safely as a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath

from ..v1 import content_pb2
from .presentation import short_repr

MAX_SEGMENT_LENGTH = 100
MAX_EXTENSION_LENGTH = 20
MAX_FOLDERS = 8
MAX_DUPLICATE_NAMES = 1000

UNSAFE_CHARACTERS = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
RESERVED_NAMES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
"""Device names on Windows."""


@dataclass(frozen=True, slots=True, repr=False)
class Artifact:
    """A file, document or data that the gateway found in a response. The response's text contains it as well.

    `proto` is the message from the server.

    >>> artifact = Artifact(content_pb2.Artifact(id="1", name="hello.py", text="print()", mime_type="text/x-python"))
    >>> artifact, artifact.data
    (Artifact(id='1', name='hello.py', mime_type='text/x-python'), b'print()')
    """

    proto: content_pb2.Artifact

    @property
    def id(self) -> str:
        """Unique id in the response."""
        return self.proto.id

    @property
    def name(self) -> str:
        """Name from the model, possibly with folders, else a generated one. Untrusted: use `save` to write a file."""
        return self.proto.name

    @property
    def mime_type(self) -> str:
        """MIME type, such as text/x-python, text/csv or image/svg+xml."""
        return self.proto.mime_type

    @property
    def language(self) -> str:
        """Programming language, such as python; empty unless the content is code."""
        return self.proto.language

    @property
    def text(self) -> str | None:
        """Content as text; None for binary content."""
        return self.proto.text if self.proto.WhichOneof("content") != "data" else None

    @property
    def data(self) -> bytes:
        """Content as bytes."""
        return self.proto.data if self.proto.WhichOneof("content") == "data" else self.proto.text.encode()

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write the content to a new file inside `folder` and return its path. A missing folder is created.

        The file never leaves the folder, whatever its name. Existing files are not overwritten: the new name gets a
        number. Raises OSError.

        >>> from tempfile import mkdtemp
        >>> Artifact(content_pb2.Artifact(name="src/app.py", text="pass")).save(mkdtemp()).name
        'app.py'
        """
        root = Path(folder).resolve()
        path = root / safe_path(self.name, self.id)
        if not path.parent.resolve().is_relative_to(root):
            raise OSError(f"artifact {self.name!r} resolves to a path outside of {str(root)!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        for candidate in _candidates(path):
            try:
                with candidate.open("xb") as file:
                    file.write(self.data)
            except FileExistsError:
                continue
            return candidate
        raise OSError(f"{MAX_DUPLICATE_NAMES} files with names like {str(path)!r} already exist")

    def __repr__(self) -> str:
        return short_repr(self, "id", "name", "mime_type")


def safe_path(name: str, fallback: str) -> PurePosixPath:
    """Convert an untrusted name to a relative path without `..`; use `fallback` if no usable segment remains.

    >>> safe_path("../../etc/passwd", "a"), safe_path("src\\\\app.py", "a"), safe_path("C:/nul.txt", "a")
    (PurePosixPath('etc/passwd'), PurePosixPath('src/app.py'), PurePosixPath('C_/_nul.txt'))
    """
    segments = [_safe_segment(segment) for segment in name.replace("\\", "/").split("/")]
    usable = [segment for segment in segments if segment] or [_safe_segment(fallback) or "artifact"]
    return PurePosixPath(*usable[-MAX_FOLDERS - 1 :])


def _safe_segment(segment: str) -> str:
    safe = UNSAFE_CHARACTERS.sub("_", segment.encode("utf-8", "replace").decode()).strip(" ").rstrip(". ")
    if len(safe) > MAX_SEGMENT_LENGTH:
        safe = _shortened(safe)
    return f"_{safe}" if RESERVED_NAMES.fullmatch(safe) else safe


def _shortened(name: str) -> str:
    """Cut a file name to the maximum length, keeping a short extension."""
    stem, dot, extension = name.rpartition(".")
    if len(extension) >= MAX_EXTENSION_LENGTH:
        return name[:MAX_SEGMENT_LENGTH]
    return f"{stem[: MAX_SEGMENT_LENGTH - len(extension) - 1]}{dot}{extension}"


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    for number in range(2, MAX_DUPLICATE_NAMES + 1):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
