"""Settings of single models, which override the catalog."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .types import PositiveInt, Seconds, Section

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
        raise ValueError('must be an amount in US dollars with at most 9 decimals, such as "2.50"')
    return dollars


def _model_name(text: str) -> str:
    provider, slash, model_id = text.partition("/")
    if not (provider and slash and model_id):
        raise ValueError('must be "PROVIDER/ID"')
    return text


Dollars = Annotated[str, AfterValidator(_amount)]
ModelName = Annotated[str, AfterValidator(_model_name)]


class PriceSettings(Section):
    """Prices in US dollars per million tokens, as strings to stay exact. They replace all prices of the catalog."""

    input: Dollars
    """Input tokens."""
    output: Dollars
    """Output tokens."""
    cache_read: Dollars | None = None
    """Tokens read from the prompt cache; the price of input tokens if not set."""
    cache_write: Dollars | None = None
    """Tokens written to the prompt cache; the price of input tokens if not set."""
    long_cache_write: Dollars | None = None
    """Tokens written to it for longer than the provider's default; the price of `cache_write` if not set."""


class ModelSettings(Section):
    """Facts about one model; those not set stay as in the catalog."""

    name: str | None = None
    """The display name."""
    context_window: PositiveInt | None = None
    """Maximum of input and output tokens together."""
    max_output_tokens: PositiveInt | None = None
    """Maximum of output tokens."""
    first_token_timeout_seconds: Seconds | None = None
    """How long to wait for the first content, even if no other target remains."""
    idle_timeout_seconds: Seconds | None = None
    """How long to wait between two pieces of content of any kind."""
    capabilities: dict[CapabilityName, LevelName] = Field(default_factory=dict)
    """Support level by capability: native, emulated or none."""
    prices: PriceSettings | None = None
    """Prices of its tokens."""
