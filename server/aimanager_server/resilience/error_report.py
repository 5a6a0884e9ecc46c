"""Choose the error of a call whose attempts all failed: the first, without advice that has expired meanwhile."""

from __future__ import annotations

from ..core.errors import GatewayError
from ..core.handler import Clock
from ..telemetry.redaction import truncate

MAX_MESSAGE_LENGTH = 400
"""Of each of two messages that are joined, since a status message is short."""


class FirstError:
    """Remember the first error of a call and when it occurred, on `clock`."""

    __slots__ = ("_clock", "_error", "_occurred_at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._error: GatewayError | None = None
        self._occurred_at = 0.0

    def add(self, error: GatewayError) -> None:
        """Remember the error unless it is a later one."""
        if self._error is None:
            self._error, self._occurred_at = error, self._clock()

    def report(self, last: GatewayError) -> GatewayError:
        """Return the error to raise: the first, whose message also has the last if that is of another kind.

        `retry_after` is what remains of the wait that the first error advised. Once it has passed, the words that
        advised it are left out as well.
        """
        first = self._error
        if first is None or first is last:
            return last
        advice, elapsed = first.retry_after, self._clock() - self._occurred_at
        is_expired = advice is not None and elapsed >= advice
        is_same_kind = first.reason == last.reason
        if is_same_kind and is_expired and (first.provider, first.model) == (last.provider, last.model):
            return last
        if is_expired:
            message = f"{_named(first)}, whose advised wait has passed; then {_named(last)}: {_message(last)}"
            return first.replace(message=message, solution=last.solution, retry_after=None)
        remaining = None if advice is None else advice - elapsed
        if is_same_kind:
            return first if remaining is None else first.replace(retry_after=remaining)
        message = f"{_message(first).rstrip('.')}. The last attempt failed with {_named(last)}: {_message(last)}"
        return first.replace(message=message, retry_after=remaining)


def _named(error: GatewayError) -> str:
    return f"{error.reason} from {error.provider}/{error.model}" if error.provider else error.reason


def _message(error: GatewayError) -> str:
    return truncate(error.message, MAX_MESSAGE_LENGTH)
