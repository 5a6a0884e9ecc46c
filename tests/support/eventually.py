"""Wait for a fact that another thread or process brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(read: Callable[[], object], expected: object) -> None:
    """Wait until `read` returns the expected value; fail after about 20 seconds."""
    for _ in range(4000):
        if read() == expected:
            return
        await asyncio.sleep(0.005)
    assert read() == expected
