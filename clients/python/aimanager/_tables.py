"""Lays out answers, models and health for a terminal. Pure: data in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from .health import ProviderHealth
from .model import Model, Pricing
from .response import AIResponse

MATRIX = {
    "streaming": "STREAM",
    "image_input": "IMAGE",
    "document_input": "PDF",
    "tool_calling": "TOOLS",
    "parallel_tool_calling": "PARALLEL",
    "structured_output": "SCHEMA",
    "reasoning": "REASON",
    "prompt_caching": "CACHE",
    "image_output": "DRAW",
}
"""Capability → heading."""

SUPPORT = {"native": "x", "emulated": "~", "none": "-"}
LEGEND = "x by the model   ~ by the gateway   - no   ? not known   prices per million tokens"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart, without trailing spaces.

    >>> print(table(["A", "B"], [["long", "1"]]))
    A     B
    long  1
    """
    lines = [heading, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def models_table(models: Iterable[Model]) -> str:
    """One line a model."""
    heading = ["MODEL", "ALIASES", "CONTEXT", "ANSWER", "IN", "OUT", "READY", *MATRIX.values()]
    return table(heading, [_model_row(model) for model in models])


def _model_row(model: Model) -> list[str]:
    capabilities = model.capabilities
    return [
        model.id,
        ",".join(model.aliases) or "-",
        tokens(model.context_window_tokens),
        tokens(model.max_output_tokens),
        _price(model.pricing, "input"),
        _price(model.pricing, "output"),
        "yes" if model.available else "no",
        *(SUPPORT.get(capabilities.get(name, ""), "?") for name in MATRIX),
    ]


def tokens(count: int | None) -> str:
    """A count of tokens, short.

    >>> tokens(200_000), tokens(1_048_576), tokens(None)
    ('200k', '1.0M', '?')
    """
    if count is None:
        return "?"
    return f"{count / 1e6:.1f}M" if count >= 1_000_000 else f"{count // 1000}k" if count >= 1000 else str(count)


def _price(pricing: Pricing | None, side: str) -> str:
    return money(getattr(pricing, side), pricing.currency) if pricing else "?"


def money(amount: Decimal, currency: str) -> str:
    """An amount without trailing zeros.

    >>> money(Decimal("2.500000000"), "USD"), money(Decimal("0.5"), "EUR")
    ('$2.5', '0.5 EUR')
    """
    digits = f"{amount:f}"
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"${digits}" if currency == "USD" else f"{digits} {currency}"


def health_table(providers: Sequence[ProviderHealth]) -> str:
    """One line a provider, then what to do about those that need it."""
    heading = ["PROVIDER", "STATUS", "CIRCUIT", "P50", "P95", "ERRORS", "LAST ERROR"]
    advice = [f"{health.provider}: {health.solution}" for health in providers if health.solution]
    return "\n".join([table(heading, [_health_row(health) for health in providers]), *advice])


def _health_row(health: ProviderHealth) -> list[str]:
    return [
        health.provider,
        health.status,
        health.circuit or "-",
        _seconds(health.latency_p50),
        _seconds(health.latency_p95),
        f"{health.error_rate:.0%}",
        health.last_error_reason or "-",
    ]


def health_line(health: ProviderHealth) -> str:
    """One change, for a log that grows."""
    return "  ".join(_health_row(health))


def _seconds(duration: float | None) -> str:
    return "-" if duration is None else f"{duration:.2f} s"


def account(response: AIResponse) -> str:
    """Who answered, why it stopped, and what it took, in one line."""
    metadata, usage = response.metadata, response.usage
    said = [f"{metadata.provider}/{metadata.model}", response.finish_reason]
    if usage.source != "missing":
        said.append(f"{usage.input_tokens} in, {usage.output_tokens} out")
    if metadata.cost is not None:
        said.append(("" if metadata.cost_is_exact else "about ") + money(metadata.cost, metadata.currency))
    if metadata.latency is not None:
        said.append(_seconds(metadata.latency))
    if len(metadata.attempts) > 1:
        said.append(f"{len(metadata.attempts)} attempts")
    return " · ".join(word for word in said if word)
