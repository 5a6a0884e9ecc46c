"""Run `pip install` with one line of progress instead of its output, which is shown only if it fails.

Usage: python .ci/pip_progress.py pip install ARGUMENT…
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

EVERY = 10
"""Packages between two lines on an output that is not a terminal."""

COLLECTING = re.compile(r"^(?:Collecting |Requirement already satisfied: |Processing \S*/)([\w.-]+)")
INSTALLING = re.compile(r"^Installing collected packages: (.*)")


def progress(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the number of packages seen so far and what pip does now.

    >>> list(progress(["Collecting grpcio==1.0 (from x)", "Installing collected packages: grpcio"]))
    [(1, 'found grpcio'), (1, 'installing 1 package')]
    """
    count = 0
    for line in lines:
        if found := COLLECTING.match(line):
            count += 1
            yield count, f"found {found[1]}"
        elif found := INSTALLING.match(line):
            number = found[1].count(",") + 1
            yield count, f"installing {number} package{'s' if number > 1 else ''}"


def show(steps: Iterable[tuple[int, str]], out: TextIO) -> None:
    """Print the steps: in place on a terminal, elsewhere every tenth and the last."""
    is_terminal = out.isatty()
    for count, step in steps:
        if is_terminal:
            out.write(f"\r\x1b[K  {count} packages · {step}")
        elif count % EVERY == 1 or step.startswith("installing"):
            out.write(f"  {count} packages · {step}\n")
        out.flush()
    if is_terminal:
        out.write("\r\x1b[K")
        out.flush()


def main() -> int:
    """Run pip and return its exit status."""
    output: list[str] = []

    def lines(pipe: Iterable[str]) -> Iterator[str]:
        for line in pipe:
            output.append(line)
            yield line

    command = [sys.executable, "-m", *sys.argv[1:], "--progress-bar", "off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        show(progress(lines(process.stdout)), sys.stdout)
    if process.returncode:
        sys.stderr.writelines(output)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
