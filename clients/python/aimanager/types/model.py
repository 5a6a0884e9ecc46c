"""One model: what it can do and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from .._convert.scalars import NANOS, moment, word
from ..v1 import model_pb2


@dataclass(frozen=True, slots=True)
class Pricing:
    """Money per million tokens, in `currency`. Zero where the price list says nothing."""

    currency: str
    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider. `proto` is what travelled."""

    proto: model_pb2.Model

    @property
    def id(self) -> str:
        """provider/model: what a request may name."""
        return self.proto.id

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return self.proto.provider

    @property
    def display_name(self) -> str:
        """Name for people."""
        return self.proto.display_name

    @property
    def aliases(self) -> tuple[str, ...]:
        """Aliases that mean this model now."""
        return tuple(self.proto.aliases)

    @property
    def routes(self) -> tuple[str, ...]:
        """Routes of the gateway that may lead to it: a request may name one in place of a model."""
        return tuple(self.proto.routes)

    @property
    def capabilities(self) -> Mapping[str, str]:
        """Support by capability: native, emulated or none. A capability that is missing is not known.

        Capabilities are streaming, image_input, document_input, tool_calling, parallel_tool_calling,
        structured_output, reasoning, prompt_caching and image_output.
        """
        return {
            word(model_pb2.Capability, row.capability): word(model_pb2.SupportLevel, row.level)
            for row in self.proto.capabilities
        }

    def supports(self, capability: str) -> bool:
        """Whether the model, or the gateway in its place, can do it."""
        return self.capabilities.get(capability) in ("native", "emulated")

    @property
    def context_window_tokens(self) -> int | None:
        """Most tokens of input and output together; None where not known."""
        return self.proto.context_window_tokens or None

    @property
    def max_output_tokens(self) -> int | None:
        """Most tokens of one answer; None where not known."""
        return self.proto.max_output_tokens or None

    @property
    def pricing(self) -> Pricing | None:
        """What it costs; None where not known."""
        if not self.proto.HasField("pricing"):
            return None
        told = self.proto.pricing
        return Pricing(
            told.currency_code,
            input=told.input_nanos_per_mtok * NANOS,
            output=told.output_nanos_per_mtok * NANOS,
            cache_read=told.cache_read_nanos_per_mtok * NANOS,
            cache_write=told.cache_write_nanos_per_mtok * NANOS,
        )

    @property
    def release_time(self) -> datetime | None:
        """When it came out, in UTC."""
        return moment(self.proto, "release_time")

    @property
    def retire_time(self) -> datetime | None:
        """When the provider shuts it down, in UTC; None where not announced."""
        return moment(self.proto, "retire_time")

    @property
    def available(self) -> bool:
        """A key is there and the circuit is not open."""
        return self.proto.available
