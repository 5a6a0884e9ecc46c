"""Says in a line who answered and what it took, and what failed before."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from ..types.response import AIResponse
from ..types.stream_events import Restarted
from ..types.usage import Attempt
from .tables import duration, money


def account(response: AIResponse) -> str:
    """Who answered, why it stopped, and what it took, in one line."""
    metadata, usage = response.metadata, response.usage
    said = [_answerer(response), response.finish_reason]
    if usage.source != "missing":
        said.append(f"{usage.input_tokens} in, {usage.output_tokens} out")
    if metadata.cost is not None:
        said.append(("" if metadata.cost_is_exact else "about ") + money(metadata.cost, metadata.currency))
    if metadata.latency is not None:
        said.append(duration(metadata.latency))
    if len(metadata.attempts) > 1:
        said.append(f"{len(metadata.attempts)} attempts")
    return " · ".join(word for word in said if word)


def began_again(restarted: Restarted) -> str:
    """What a reader of a cut answer has to know, in one line."""
    failed = _failures(restarted.attempts) or "the provider failed"
    return (
        f"the answer began again, discard what is above: {failed}; {restarted.provider}/{restarted.model} answers now"
    )


def _answerer(response: AIResponse) -> str:
    metadata = response.metadata
    answerer = f"{metadata.provider}/{metadata.model}"
    tried = list(takewhile(lambda attempt: attempt.error_reason, metadata.attempts))
    answered = metadata.attempts[len(tried) :][:1]
    if not answered or all(_target(attempt) == _target(answered[0]) for attempt in tried):
        return answerer
    return f"answered by {answerer} after {_failures(tried)}"


def _failures(attempts: Iterable[Attempt]) -> str:
    """Each failure once, however often it was met."""
    failed = (f"{_target(attempt)} failed: {attempt.error_reason}" for attempt in attempts if attempt.error_reason)
    return ", ".join(dict.fromkeys(failed))


def _target(attempt: Attempt) -> str:
    return f"{attempt.provider}/{attempt.model}"
