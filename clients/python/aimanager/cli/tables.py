"""Format quality and metrics as tables of text, and values as all tables show them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from decimal import Decimal

from ..types.metrics import MetricsRow, MetricsSummary
from ..types.quality import ModelQuality, ProviderQuality

UNKNOWN = "–"
WIDTH = 80
"""Columns of the tables of models, health and metrics."""

NAME_WIDTH = 20


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns to the left, two spaces apart, without trailing spaces.

    >>> print(table(["A", "B"], [["long", "1"]]))
    A     B
    long  1
    """
    lines = [heading, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def format_tokens(count: int | None) -> str:
    """Abbreviate a number of tokens; a dash if unknown.

    >>> format_tokens(200_000), format_tokens(1_048_576), format_tokens(None)
    ('200k', '1.0M', '–')
    """
    if count is None:
        return UNKNOWN
    return f"{count / 1e6:.1f}M" if count >= 1_000_000 else f"{count // 1000}k" if count >= 1000 else str(count)


def format_money(amount: Decimal, currency: str) -> str:
    """Format an amount without trailing zeros.

    >>> format_money(Decimal("2.500000000"), "USD"), format_money(Decimal("0.5"), "EUR")
    ('$2.5', '0.5 EUR')
    """
    digits = f"{amount:f}"
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"${digits}" if currency == "USD" else f"{digits} {currency}"


def format_duration(seconds: float | None) -> str:
    """Format seconds; a dash if unknown.

    >>> format_duration(0.254), format_duration(None)
    ('254 ms', '–')
    """
    if seconds is None:
        return UNKNOWN
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def quality_table(providers: Sequence[ProviderQuality]) -> str:
    """Format one line per provider, the findings, then one line per model."""
    heading = ["PROVIDER", "SAMPLES", "OVERALL", "AVAILABILITY", "SPEED", "ECONOMY", "CONFORMANCE"]
    findings = [f"{quality.provider}: {finding}" for quality in providers for finding in quality.findings]
    blocks = ["\n".join([table(heading, [_quality_row(quality) for quality in providers]), *findings])]
    models = [_model_quality_row(quality.provider, model) for quality in providers for model in quality.models]
    if models:
        heading = ["MODEL", "SAMPLES", "SUCCESS", "P50", "P95", "TTFT P50", "TTFT P95", "TOKENS/S", "CONFORMANCE"]
        blocks.append(table(heading, models))
    return "\n\n".join(blocks)


def _quality_row(quality: ProviderQuality) -> list[str]:
    scores = [quality.overall, quality.availability, quality.speed, quality.economy, quality.conformance]
    return [quality.provider, str(quality.sample_count), *map(_score, scores)]


def _model_quality_row(provider: str, quality: ModelQuality) -> list[str]:
    rate = quality.output_tokens_per_second
    return [
        f"{provider}/{quality.model}",
        str(quality.sample_count),
        _score(quality.success_rate),
        format_duration(quality.latency_p50),
        format_duration(quality.latency_p95),
        format_duration(quality.time_to_first_token_p50),
        format_duration(quality.time_to_first_token_p95),
        UNKNOWN if rate is None else f"{rate:.1f}",
        _score(quality.conformance),
    ]


def _score(score: float | None) -> str:
    return UNKNOWN if score is None else f"{score:.2f}"


REJECTED = "(rejected)"
"""Name of the row of requests that were rejected before they had a model."""


def metrics_table(summary: MetricsSummary) -> str:
    """Format counts and cost, then durations, a line per model and a total each; errors and requests in flight."""
    rows = [(f"{row.provider}/{row.model}" if row.provider else REJECTED, row) for row in summary.rows]
    rows.append(("total", summary.total))
    errors = sorted(summary.total.errors_by_reason.items(), key=lambda pair: (-pair[1], pair[0]))
    counts = [line for name, row in rows for line in _lines(name, _counts(row))]
    durations = [line for name, row in rows for line in _lines(name, _durations(row))]
    lines = [
        table(["MODEL", "REQUESTS", "ERRORS", "FALLBACKS", "INPUT", "OUTPUT", "COST"], counts),
        "",
        table(["MODEL", "P50", "P95", "FIRST TOKEN"], durations),
        "",
    ]
    if errors:
        lines.append(f"errors: {', '.join(f'{reason} {count}' for reason, count in errors)}")
    since = f" · since {summary.start_time:%Y-%m-%d %H:%M} UTC" if summary.start_time else ""
    return "\n".join([*lines, f"{summary.requests_in_flight} requests in flight{since}"])


def _lines(name: str, values: Sequence[str]) -> list[Sequence[str]]:
    """Return the line of a model; a long name continues on further lines."""
    first, *others = textwrap.wrap(name, NAME_WIDTH) or [""]
    return [[first, *values], *([other, *[""] * len(values)] for other in others)]


def _counts(row: MetricsRow) -> list[str]:
    return [
        str(row.requests_total),
        str(row.requests_error),
        str(row.fallbacks),
        format_tokens(row.input_tokens),
        format_tokens(row.output_tokens),
        UNKNOWN if row.cost_total is None else format_money(row.cost_total, row.currency),
    ]


def _durations(row: MetricsRow) -> list[str]:
    return [
        format_duration(row.request_duration),
        format_duration(row.request_duration_p95),
        format_duration(row.time_to_first_token),
    ]
