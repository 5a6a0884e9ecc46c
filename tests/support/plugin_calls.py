"""Calls to a plug-in, and patience with its thread."""

from __future__ import annotations

import asyncio
from typing import Any

from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.request import Call, Caller, Target


def call(*, seconds: float = 20.0, **facts: Any) -> Call:
    return Call(
        id="call-1",
        caller=facts.pop("caller", Caller("ann")),
        requested_model="told/latest",
        messages=(Message(Role.USER, (Text("Hi"),)),),
        targets=(Target("told", "one"),),
        deadline=asyncio.get_running_loop().time() + seconds,
        **facts,
    )


async def settled(found: Any, wanted: Any) -> None:
    """Give another thread the time it needs."""
    for _ in range(200):
        if found() == wanted:
            return
        await asyncio.sleep(0.01)
    assert found() == wanted
