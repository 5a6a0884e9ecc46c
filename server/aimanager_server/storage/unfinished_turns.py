"""Turns of calls that have ended early, while they are stored or given up in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from ..core.errors import GatewayError
from ..telemetry.logger import get_logger

FINISH_SECONDS = 10.0
"""How long it may take to store an interrupted response, or to give a lease back."""

MAX_UNFINISHED = 1_000
"""Conversations that wait for this at a time, such as while the database does not respond."""


class UnfinishedTurns:
    """What is left to do in conversations after their calls have ended. Failures are only logged."""

    def __init__(self, timeout_seconds: float = FINISH_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def entries(self) -> int:
        """Number of conversations in which something is left to do."""
        return len(self._tasks)

    def finish(self, conversation_id: str, work: Coroutine[Any, Any, object]) -> None:
        """Run the work soon. Beyond MAX_UNFINISHED it is given up, and the lease expires by itself."""
        if len(self._tasks) >= MAX_UNFINISHED:
            work.close()
            _log_loss(conversation_id, "OVERLOADED")
            return
        task = self._tasks[conversation_id] = asyncio.ensure_future(self._run(conversation_id, work))
        task.add_done_callback(lambda _: self._forget(conversation_id, task))

    async def wait_for(self, conversation_id: str) -> None:
        """Wait until nothing is left to do in a conversation, so that the next call finds it complete and free."""
        task = self._tasks.get(conversation_id)
        if task is not None:
            await asyncio.wait({task})

    async def aclose(self) -> None:
        """Wait until all work has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def _forget(self, conversation_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(conversation_id) is task:
            del self._tasks[conversation_id]

    async def _run(self, conversation_id: str, work: Coroutine[Any, Any, object]) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await work
        except (GatewayError, TimeoutError) as error:
            reason = error.reason if isinstance(error, GatewayError) else "TIMEOUT"
            _log_loss(conversation_id, reason)


def _log_loss(conversation_id: str, reason: str) -> None:
    get_logger().warning("conversation.turn_lost", conversation_id=conversation_id, reason=reason)
