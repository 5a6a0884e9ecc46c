"""Summarize a response or a restart in one line for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from ..types.response import AIResponse
from ..types.stream_events import Restarted
from ..types.usage import Attempt
from .tables import format_duration, format_money

SUPERSEDED = "CANCELLED"
"""`error_reason` of an attempt that was slower than a second one to the same or another model."""


def summary_line(response: AIResponse) -> str:
    """Return model, finish reason, tokens, cost, latency and number of attempts."""
    metadata, usage = response.metadata, response.usage
    facts = [_model(response), response.finish_reason]
    if usage.source != "missing":
        mark = "~" if usage.source == "estimated" else ""
        facts.append(f"{mark}{usage.input_tokens} input + {mark}{usage.output_tokens} output tokens")
    if metadata.cost is not None:
        facts.append(("" if metadata.cost_is_exact else "~") + format_money(metadata.cost, metadata.currency))
    if metadata.latency is not None:
        facts.append(format_duration(metadata.latency))
    if metadata.saved_cost is not None:
        facts.append(f"from the cache, saved {format_money(metadata.saved_cost, metadata.currency)}")
    if len(metadata.attempts) > 1:
        facts.append(f"{len(metadata.attempts)} attempts")
    return " · ".join(fact for fact in facts if fact)


def restart_notice(restarted: Restarted) -> str:
    """Return the notice that a stream restarted, with the failures before it."""
    failures = _failures(restarted.attempts)
    reason = f" ({failures})" if failures else ""
    return f"stream restarted on {restarted.provider}/{restarted.model}{reason}; discard the output above"


def _model(response: AIResponse) -> str:
    """Return the model, and the failures before it if it was a fallback."""
    metadata = response.metadata
    model = f"{metadata.provider}/{metadata.model}"
    failed = _failed(metadata.attempts)
    if all(_target(attempt) == _target(metadata.attempts[-1]) for attempt in failed):
        return model
    return f"{model} (fallback: {_failures(failed)})"


def _failures(attempts: Iterable[Attempt]) -> str:
    """List each distinct failure once."""
    return ", ".join(
        dict.fromkeys(f"{_target(attempt)} failed: {attempt.error_reason}" for attempt in _failed(attempts))
    )


def _failed(attempts: Iterable[Attempt]) -> list[Attempt]:
    return [attempt for attempt in attempts if attempt.provider and attempt.error_reason not in ("", SUPERSEDED)]


def _target(attempt: Attempt) -> str:
    return f"{attempt.provider}/{attempt.model}"
