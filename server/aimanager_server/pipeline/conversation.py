"""Add the messages of a call and its response to a conversation, before the response is complete for the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ..core.conversation import ConversationTurn, Turn
from ..core.errors import ConversationBusy, GatewayError
from ..core.handler import CallHandler
from ..core.request import Call
from ..core.response import Event
from ..core.stream import Completed, Outcome, ResponseStream, StreamObserver
from ..storage.conversations import ConversationStore, Lease
from ..storage.unfinished_turns import UnfinishedTurns
from .response_recorder import PartialResponse, ResponseRecorder

RENEWALS = 3
"""Renewals of a lease in its duration, so that a delayed one does not lose it."""


class KeepConversation:
    """Hold the conversation's lease during a call, and add the turn at its end.

    The lease is renewed while the call runs. If it is lost, because the server was stopped for longer, the call ends
    with ConversationBusy. What a caller of a stream has seen of a response that does not complete is added and marked;
    a failed call adds nothing.
    """

    def __init__(
        self, store: ConversationStore, lease_seconds: float, now: Callable[[], float], work: UnfinishedTurns
    ) -> None:
        self._store = store
        self._lease_seconds = lease_seconds
        self._now = now
        self._work = work

    def __call__(self, call: Call, proceed: CallHandler) -> Awaitable[ResponseStream]:
        """Proceed at once without a conversation. Raises ConversationNotFound or ConversationBusy."""
        return proceed(call) if call.turn is None else self._with_lease(call, call.turn, proceed)

    async def _with_lease(self, call: Call, turn: ConversationTurn, proceed: CallHandler) -> ResponseStream:
        with call.upstream_timer.measure():
            lease = await self._store.acquire(call.caller.name, turn.conversation_id, turn.number, self._lease_seconds)
        kept = _KeptLease(self._store, lease, self._lease_seconds)
        try:
            stream = await proceed(call)
        except BaseException:
            kept.stop_renewing()
            self._work.finish(turn.conversation_id, kept.release())
            raise
        stream.metadata.conversation_id = turn.conversation_id
        recorder, partial = ResponseRecorder(stream.metadata), PartialResponse(stream.metadata)
        kept.on_loss(stream.fail)

        async def commit(events: list[Event]) -> None:
            recorder.on_events(events[-1:])
            result = recorder.result()
            added = Turn(
                turn.number, (*call.new_messages, result.message), self._now(), artifacts=result.artifacts,
                usage=result.finished.usage, cost=result.finished.cost,
            )  # fmt: skip
            await kept.append(added)

        end = _End(self, call, turn, kept, partial)
        stream.observed_by(recorder).finalized_by(commit)
        return (stream.observed_by(partial) if call.streaming else stream).observed_by(end)

    def end(self, call: Call, turn: ConversationTurn, kept: _KeptLease, partial: PartialResponse) -> None:
        """Store in the background what the caller has seen of a response that did not complete."""
        kept.stop_renewing()
        message = partial.message() if call.streaming else None
        if message is None:
            self._work.finish(turn.conversation_id, kept.release())
            return
        interrupted = Turn(
            turn.number, (*call.new_messages, message), self._now(), is_interrupted=True,
            usage=call.attempts.usage(), cost=call.attempts.cost(),
        )  # fmt: skip
        self._work.finish(turn.conversation_id, kept.append(interrupted))


class _End(StreamObserver):
    __slots__ = ("_arguments", "_layer")

    def __init__(self, layer: KeepConversation, *arguments: Any) -> None:
        self._layer = layer
        self._arguments = arguments

    def on_end(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Completed):
            self._layer.end(*self._arguments)


class _KeptLease:
    """A lease that is renewed until it is given back. Tells `on_loss` if it is lost."""

    def __init__(self, store: ConversationStore, lease: Lease, seconds: float) -> None:
        self._store = store
        self._lease = lease
        self._seconds = seconds
        self._fail: Callable[[GatewayError], None] | None = None
        self._lost: GatewayError | None = None
        self._renewal = asyncio.ensure_future(self._renew())

    def on_loss(self, fail: Callable[[GatewayError], None]) -> None:
        """Call `fail` with the error when the lease is lost, or at once if it was lost already."""
        self._fail = fail
        if self._lost is not None:
            fail(self._lost)

    def stop_renewing(self) -> None:
        """Let the lease expire unless it is given back before."""
        self._renewal.cancel()

    async def append(self, turn: Turn) -> None:
        """Add the turn, which gives the lease back. Raises ConversationBusy if the lease was lost."""
        self._renewal.cancel()
        await self._store.append(self._lease, turn)

    async def release(self) -> None:
        """Give the lease back."""
        await self._store.release(self._lease)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / RENEWALS)
            try:
                await self._store.renew(self._lease, self._seconds)
            except ConversationBusy as error:
                self._lost = error
                if self._fail is not None:
                    self._fail(error)
                return
            except GatewayError:
                continue  # the database may come back before the lease expires; the append finds out
