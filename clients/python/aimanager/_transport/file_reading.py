"""Read attachment files without blocking the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ..options import RequestOptions

Built = TypeVar("Built")


async def build_operation(build: Callable[[], Built], options: RequestOptions) -> Built:
    """Return what `build` returns; run it in a thread if it reads attachments."""
    return await asyncio.to_thread(build) if options.get("attachments") else build()
