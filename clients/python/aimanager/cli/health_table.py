"""Format the health of providers as a table of 80 columns: those that can be used first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from ..types.health import ProviderHealth
from .tables import UNKNOWN, WIDTH, format_duration, table

HEADING = ("PROVIDER", "STATUS", "CIRCUIT", "P50", "P95", "ERRORS", "LAST ERROR")
ORDER = ("HEALTHY", "UNKNOWN", "DEGRADED", "DOWN", "NOT_CONFIGURED")
NOT_CONFIGURED = "NOT_CONFIGURED"


def health_table(providers: Sequence[ProviderHealth]) -> str:
    """Format one line per configured provider, the recommended actions, and the names of the others."""
    ordered = sorted(providers, key=lambda health: ORDER.index(health.status))
    configured = [health for health in ordered if health.status != NOT_CONFIGURED]
    others = [health for health in ordered if health.status == NOT_CONFIGURED]
    solutions = [f"{health.provider}: {health.solution}" for health in configured if health.solution]
    blocks = [table(HEADING, map(_row, configured))] if configured or not others else []
    if others:
        blocks.append(f"Not configured: {', '.join(health.provider for health in others)}")
        blocks += dict.fromkeys(f"{health.provider}: {health.solution}" for health in others if health.solution)
    blocks[1:1] = solutions if configured else []
    return "\n".join(line for block in blocks for line in _wrapped(block))


def _wrapped(block: str) -> Iterable[str]:
    for line in block.split("\n"):
        if len(line) <= WIDTH:
            yield line
        else:
            yield from textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _row(health: ProviderHealth) -> list[str]:
    return [
        health.provider,
        health.status,
        health.circuit or UNKNOWN,
        format_duration(health.latency_p50),
        format_duration(health.latency_p95),
        f"{health.error_rate:.0%}",
        health.last_error_reason or UNKNOWN,
    ]


def health_line(health: ProviderHealth) -> str:
    """Format one health change as a line."""
    return "  ".join(_row(health))
