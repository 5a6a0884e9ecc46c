"""A deliverable that the gateway lifted out of an answer, and a safe way to keep it as a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath

from ..v1 import content_pb2

LONGEST_STEP = 100
MOST_FOLDERS = 8
MOST_OF_ONE_NAME = 1000

UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
"""Names that mean a device on Windows."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file, a document or data; the answer's text says it too. `proto` is what travelled."""

    proto: content_pb2.Artifact

    @property
    def id(self) -> str:
        """Unique in the answer."""
        return self.proto.id

    @property
    def name(self) -> str:
        """The name that the model gave, perhaps with folders, else a made-up one. Not to be trusted as a path."""
        return self.proto.name

    @property
    def mime_type(self) -> str:
        """Such as text/x-python, text/csv or image/svg+xml."""
        return self.proto.mime_type

    @property
    def language(self) -> str:
        """Of code, such as python; empty for anything else."""
        return self.proto.language

    @property
    def text(self) -> str | None:
        """The content, None where it is no text."""
        return self.proto.text if self.proto.WhichOneof("content") != "data" else None

    @property
    def data(self) -> bytes:
        """The content as bytes."""
        return self.proto.data if self.proto.WhichOneof("content") == "data" else self.proto.text.encode()

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write it to a new file below `folder`, which is made where it is missing, and return the file's path.

        Whatever the name, the file stays inside the folder and no file is overwritten: a number is added instead.
        Raises OSError.
        """
        root = Path(folder).resolve()
        path = root / safe_path(self.name, self.id)
        if not path.parent.resolve().is_relative_to(root):
            raise OSError(f"{self.name!r} leads out of {str(root)!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        for candidate in _candidates(path):
            try:
                with candidate.open("xb") as file:
                    file.write(self.data)
            except FileExistsError:
                continue
            return candidate
        raise OSError(f"there are {MOST_OF_ONE_NAME} files named like {str(path)!r}")


def safe_path(name: str, fallback: str) -> PurePosixPath:
    """A relative path for a name that anybody may have made up; `fallback` where nothing of it is left.

    >>> safe_path("../../etc/passwd", "a"), safe_path("src\\\\app.py", "a"), safe_path("C:/nul.txt", "a")
    (PurePosixPath('etc/passwd'), PurePosixPath('src/app.py'), PurePosixPath('C_/_nul.txt'))
    """
    steps = [_safe_step(step) for step in name.replace("\\", "/").split("/")]
    kept = [step for step in steps if step] or [_safe_step(fallback) or "artifact"]
    return PurePosixPath(*kept[-MOST_FOLDERS - 1 :])


def _safe_step(step: str) -> str:
    bare = UNSAFE.sub("_", step.encode("utf-8", "replace").decode()).strip(" ").rstrip(". ")
    if len(bare) > LONGEST_STEP:
        stem, dot, ending = bare.rpartition(".")
        bare = f"{stem[: LONGEST_STEP - len(ending) - 1]}{dot}{ending}" if len(ending) < 20 else bare[:LONGEST_STEP]
    return f"_{bare}" if RESERVED.fullmatch(bare) else bare


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    for number in range(2, MOST_OF_ONE_NAME + 1):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
