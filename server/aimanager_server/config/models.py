"""What an operator knows better of a model than the catalogue does."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .types import Count, Seconds, Section

NANOS = 1_000_000_000


CapabilityName = Literal[
    "streaming",
    "image_input",
    "document_input",
    "tool_calling",
    "parallel_tool_calling",
    "structured_output",
    "reasoning",
    "prompt_caching",
    "image_output",
]
LevelName = Literal["none", "emulated", "native"]


def _amount(dollars: str) -> str:
    try:
        nanos = Decimal(dollars) * NANOS
    except ArithmeticError:
        nanos = Decimal("NaN")
    if not nanos.is_finite() or nanos < 0 or nanos != int(nanos):
        raise ValueError('is not an amount; accepted are US dollars with at most nine decimals, such as "2.50"')
    return dollars


def _model_name(text: str) -> str:
    provider, slash, model_id = text.partition("/")
    if not (provider and slash and model_id):
        raise ValueError('is not the name of a model; accepted is "PROVIDER/ID"')
    return text


Dollars = Annotated[str, AfterValidator(_amount)]
ModelName = Annotated[str, AfterValidator(_model_name)]


class PriceSettings(Section):
    """US dollars per million tokens, as text so that they stay exact. They replace every price of the catalogue's."""

    input: Dollars
    """Tokens sent."""
    output: Dollars
    """Tokens produced."""
    cache_read: Dollars | None = None
    """Tokens read from the prompt cache; where not said, as much as those sent."""
    cache_write: Dollars | None = None
    """Tokens written to the prompt cache; where not said, as much as those sent."""


class ModelSettings(Section):
    """Facts of one model; what is not said stays as the catalogue has it."""

    name: str | None = None
    """Its name for people."""
    context_window: Count | None = None
    """Most tokens of input and output together."""
    max_output: Count | None = None
    """Most tokens of one answer."""
    first_token_seconds: Seconds | None = None
    """How long its first content is waited for, whether another target is left or not."""
    idle_seconds: Seconds | None = None
    """How long the next piece of its content is waited for, whatever it is."""
    capabilities: dict[CapabilityName, LevelName] = Field(default_factory=dict)
    """What it can do: native, emulated or none, by capability."""
    prices: PriceSettings | None = None
    """What it costs."""
