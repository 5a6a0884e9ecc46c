"""Write the exact versions and hashes of everything that is installed, .ci/requirements/*.txt, with uv.

`python .ci/lock.py` keeps the present versions where they still satisfy pyproject.toml and the .in files. Arguments are
options of uv: `--upgrade`, or `--upgrade-package NAME`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ".ci/requirements"
BUILD = f"{FOLDER}/build.in"
OPTIONS = (
    "--universal",  # one file for all platforms and Python versions, with markers
    "--python-version=3.11",
    "--generate-hashes",
    "--no-build",
    "--no-strip-extras",  # without the extra, pip takes google-auth[requests] for another, unlocked requirement
    "--no-emit-index-url",
    "--annotation-style=line",
    "--custom-compile-command=make lock",
)


def main(arguments: list[str]) -> None:
    """Write every file. The development environment decides the versions of the others."""
    write("dev", "pyproject.toml", "--extra=dev", BUILD, *arguments)
    write("server", "pyproject.toml", "--extra=server", f"--constraint={FOLDER}/dev.txt", *arguments)
    write("build", BUILD, f"--constraint={FOLDER}/dev.txt", *arguments)
    write(
        "floor",
        "pyproject.toml",
        "--extra=server",
        f"{FOLDER}/floor.in",
        BUILD,
        "--constraint=-",
        *arguments,
        text=pins_without(f"{FOLDER}/floor.in"),
    )
    write("protoc", f"{FOLDER}/protoc.in", *arguments)
    write("lock", f"{FOLDER}/lock.in", *arguments)


def write(name: str, *arguments: str, text: str = "") -> None:
    """Write one file. Exits if there is no solution, or if a version was withdrawn by its authors."""
    path = f"{FOLDER}/{name}.txt"
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    command = [str(uv), "pip", "compile", *OPTIONS, *arguments, "-o", path]
    done = subprocess.run(command, cwd=ROOT, input=text, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode or "yanked" in done.stderr:
        raise SystemExit(f"lock: {path}\n{done.stderr}")
    print(f"lock: {path}")


def pins_without(file: str) -> str:
    """Return the versions of the development environment, but of packages that a file pins."""
    other = set(re.findall(r"^[\w-]+(?===)", (ROOT / file).read_text("utf-8"), re.MULTILINE))
    pins = re.findall(r"^([\w-]+)(?:\[\S+\])?==(\S+)", (ROOT / f"{FOLDER}/dev.txt").read_text("utf-8"), re.MULTILINE)
    return "".join(f"{name}=={version}\n" for name, version in pins if name not in other)


if __name__ == "__main__":
    main(sys.argv[1:])
