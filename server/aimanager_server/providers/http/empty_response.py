"""Reject responses that claim to be complete but contain nothing of what the provider counted."""

from __future__ import annotations

from typing import Any

from ...core.errors import ProviderProtocolError
from ...core.request import Attempt
from ...core.response import Event, Finished, FinishReason, ReasoningProgress
from ...core.usage import UsageSource


def has_content(events: list[Event]) -> bool:
    """Return whether some of the events belong to a part of the response."""
    return any(type(event) not in (Finished, ReasoningProgress) for event in events)


def reject_lost_content(attempt: Attempt[Any], finished: Finished) -> None:
    """Raise ProviderProtocolError if a response without any part is impossible.

    It ended with a normal stop, and the provider reports output tokens beyond those of reasoning: the content was sent
    in a form that is not known. A stop sequence may be the whole output, and some wires tell an answer that is empty.
    """
    usage = finished.usage
    if finished.is_empty or finished.reason is not FinishReason.STOP or usage.source is not UsageSource.REPORTED:
        return
    tokens = usage.output_tokens - usage.reasoning_tokens
    if tokens > 0 and not attempt.target.sampling.stop_sequences:
        raise ProviderProtocolError(
            f"The provider reports {tokens} output tokens, but its response contains no content.", usage=usage
        )
