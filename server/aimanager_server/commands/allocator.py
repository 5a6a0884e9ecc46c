"""Makes the C library return the memory of large requests to the system."""

from __future__ import annotations

import ctypes
import sys

MMAP_THRESHOLD = 1024 * 1024
"""Bytes from which a block is mapped by itself, and unmapped when it is freed."""

M_MMAP_THRESHOLD = -3
"""The parameter of mallopt, from malloc.h of glibc."""


def return_large_blocks() -> bool:
    """Fix the size above which blocks are mapped, and return whether the C library supports that.

    By default glibc raises it to the size of the largest block that was freed, up to 32 MiB, and keeps such blocks.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD) == 1
