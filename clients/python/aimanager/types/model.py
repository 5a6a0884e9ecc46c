"""A model of a provider: capabilities, limits and price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from .._convert.capabilities import ARTIFACTS, canonical_capability
from .._convert.scalars import NANO, enum_word, read_time
from ..v1 import model_pb2
from .presentation import short_repr


@dataclass(frozen=True, slots=True)
class Pricing:
    """Prices per million tokens in `currency`. A price missing from the price list is zero."""

    currency: str
    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True, slots=True, repr=False)
class Model:
    """One model of one provider. `proto` is the message from the server.

    >>> model = Model(model_pb2.Model(id="claude/claude-opus-5-5"))
    >>> model.supports("vision"), model.supports("artifacts")
    (False, True)
    """

    proto: model_pb2.Model

    @property
    def id(self) -> str:
        """Name for requests: provider/model."""
        return self.proto.id

    @property
    def provider(self) -> str:
        """Provider name."""
        return self.proto.provider

    @property
    def model(self) -> str:
        """Model without the provider."""
        return self.proto.model

    @property
    def display_name(self) -> str:
        """Name for display."""
        return self.proto.display_name

    @property
    def aliases(self) -> tuple[str, ...]:
        """Aliases that currently resolve to this model."""
        return tuple(self.proto.aliases)

    @property
    def alias_descriptions(self) -> Mapping[str, str]:
        """What each alias promises, whichever model it means."""
        return dict(self.proto.alias_descriptions)

    @property
    def routes(self) -> tuple[str, ...]:
        """Routes of the gateway with this model as a target. A request may name a route in place of a model."""
        return tuple(self.proto.routes)

    @property
    def capabilities(self) -> Mapping[str, str]:
        """Support level by capability: native, emulated or none. Unknown capabilities are missing.

        Capabilities are streaming, image_input, document_input, tool_calling, parallel_tool_calling,
        structured_output, reasoning, prompt_caching and image_output.
        """
        return {
            enum_word(model_pb2.Capability, row.capability): enum_word(model_pb2.SupportLevel, row.level)
            for row in self.proto.capabilities
        }

    def supports(self, capability: str) -> bool:
        """Return whether the model supports a capability natively or through emulation by the gateway.

        Takes the words of `suggest_model`, such as vision. Raises InvalidRequestError for an unknown one.
        """
        name = canonical_capability(capability)
        return name == ARTIFACTS or self.capabilities.get(name) in ("native", "emulated")

    @property
    def context_window_tokens(self) -> int | None:
        """Limit of input and output tokens together; None if unknown."""
        return self.proto.context_window_tokens or None

    @property
    def max_output_tokens(self) -> int | None:
        """Limit of output tokens per response; None if unknown."""
        return self.proto.max_output_tokens or None

    @property
    def pricing(self) -> Pricing | None:
        """Prices; None if unknown."""
        if not self.proto.HasField("pricing"):
            return None
        pricing = self.proto.pricing
        return Pricing(
            pricing.currency_code,
            input=pricing.input_nanos_per_million_tokens * NANO,
            output=pricing.output_nanos_per_million_tokens * NANO,
            cache_read=pricing.cache_read_nanos_per_million_tokens * NANO,
            cache_write=pricing.cache_write_nanos_per_million_tokens * NANO,
        )

    @property
    def release_time(self) -> datetime | None:
        """Release date in UTC."""
        return read_time(self.proto, "release_time")

    @property
    def retire_time(self) -> datetime | None:
        """Time at which the provider retires the model, in UTC; None if not announced."""
        return read_time(self.proto, "retire_time")

    @property
    def available(self) -> bool:
        """Whether the gateway has a key for the provider and its circuit breaker is not open."""
        return self.proto.available

    def __repr__(self) -> str:
        return short_repr(self, "id", "aliases", "available")
