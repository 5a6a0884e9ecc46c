"""Run `python -m aimanager_server` with a sampling profiler. SIGUSR1 starts it; SIGUSR2 writes samples to a file."""

from __future__ import annotations

import dis
import json
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

SAMPLE_SECONDS = 0.0005
PACKAGES = ("/aimanager_server/", "/aimanager/", "/site-packages/aiohttp/")
"""The gateway's own code, and the HTTP client of earlier revisions."""

RESUME = dis.opmap["RESUME"]


class Sampler:
    """Count the source files in which the main thread spends its time. The file with the counts appears complete.

    Python runs signal handlers between bytecodes. A sample taken in a builtin or in a library therefore counts for the
    file that called it, and a function that has just started leaves its sample to its caller, which may be the event
    loop.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._samples: Counter[str] = Counter()

    def start(self, *_: object) -> None:
        """Start, or continue, to take samples."""
        signal.signal(signal.SIGALRM, self._sample)
        signal.setitimer(signal.ITIMER_REAL, SAMPLE_SECONDS, SAMPLE_SECONDS)

    def stop(self, *_: object) -> None:
        """Write the number of samples so far, by file."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._samples))
        partial.rename(self._file)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_code[frame.f_lasti] == RESUME:
            frame = frame.f_back
        while frame is not None:
            file = frame.f_code.co_filename
            if any(package in file for package in PACKAGES):
                self._samples[file] += 1
                return
            frame = frame.f_back


def main() -> None:
    """Run the server with the remaining arguments."""
    sampler = Sampler(Path(sys.argv.pop(1)))
    signal.signal(signal.SIGUSR1, sampler.start)
    signal.signal(signal.SIGUSR2, sampler.stop)
    runpy.run_module("aimanager_server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
