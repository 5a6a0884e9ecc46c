"""Large blocks are returned to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from pathlib import Path
from aimanager_server.commands.allocator import return_large_blocks

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) // 256

assert return_large_blocks()
before = resident_mib()
for _ in range(4):
    blocks = [b"x" * (20 * 1024 * 1024) for _ in range(3)]
    small = [object() for _ in range(1000)]
    del blocks
print(resident_mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the parameter is one of glibc")
def test_large_blocks_are_not_kept() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)

    assert int(done.stdout) < 15
