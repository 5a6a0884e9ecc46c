"""Facts about one model: capabilities, limits, accepted options and prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from ..core.content import Attachment, Effort, ReasoningOptions, Sampling

MAX_MODEL_NAME_LENGTH = 256
"""Characters of a model name in a request."""


class Capability(StrEnum):
    """A feature that a model may support."""

    STREAMING = "streaming"
    IMAGE_INPUT = "image_input"
    DOCUMENT_INPUT = "document_input"
    TOOL_CALLING = "tool_calling"
    PARALLEL_TOOL_CALLING = "parallel_tool_calling"
    STRUCTURED_OUTPUT = "structured_output"
    REASONING = "reasoning"
    PROMPT_CACHING = "prompt_caching"
    IMAGE_OUTPUT = "image_output"


class SupportLevel(StrEnum):
    """How a capability is supported: not at all, emulated by the gateway, or natively by the model."""

    NONE = "none"
    EMULATED = "emulated"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Support:
    """The support level of one capability, with an optional note for people."""

    level: SupportLevel
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices in nano-dollars per million tokens. A cache rate that the vendor does not publish equals `input`.

    `long_cache_write` is for cache entries that are kept for longer than the vendor's default.
    """

    input: int
    output: int
    cache_read: int
    cache_write: int
    long_cache_write: int


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of a model: `standard`, unless one of the other tables applies. A model has at most one other table.

    `long_context` applies to the whole call if its input exceeds `long_context_above` tokens. `off_peak` applies
    outside DeepSeek's peak hours. `scheduled` replaces `standard` from the day `scheduled_from` on, in UTC.
    """

    standard: Rates
    long_context: Rates | None = None
    long_context_above: int = 0
    off_peak: Rates | None = None
    scheduled: Rates | None = None
    scheduled_from: date = date.max
    currency: str = "USD"


RESPONSES_SAMPLING_FIELDS = frozenset(("max_output_tokens", "temperature", "top_p"))
"""Fields of `Sampling` that the Responses API has.

https://developers.openai.com/api/docs/api-reference/responses, read 2026-11-22."""

RESPONSES_MIN_OUTPUT_TOKENS = 16
"""Smallest `max_output_tokens` that the Responses API accepts; same source."""

ThinkingMode = Literal["unknown", "none", "always", "adaptive", "budget"]
"""When a model reasons: never, always, adaptively unless disabled, or within a token budget."""


CacheKeyField = Literal["", "prompt_cache_key", "user_id", "x-grok-conv-id"]
"""How a request names the cache it uses: a field of the body, the header x-grok-conv-id, or not at all."""


@dataclass(frozen=True, slots=True)
class PromptCacheSpec:
    """Prompt caching facts of a model. `checked` is the day `source` was read.

    `min_tokens`: shorter prefixes are not cached; None if the provider does not say.
    `breakpoints`: how many prefixes a request may mark; 0 if the provider caches automatically and takes no markers.
    `long_write_factor`: the price of keeping an entry for longer, as a multiple of the input price; None if the
    lifetime cannot be chosen.
    `key`: how a request names the cache it uses.
    """

    source: str
    checked: date
    min_tokens: int | None = None
    breakpoints: int = 0
    long_write_factor: Decimal | None = None
    key: CacheKeyField = ""


@dataclass(frozen=True, slots=True)
class EmbeddingSpec:
    """Embedding facts of a model: vectors of `dimensions` components, at most `max_inputs` texts per request.

    `max_tokens` limits the texts of one request together; None if only each text is limited. `min_dimensions` and
    `max_dimensions` bound a requested vector length; `min_dimensions` is None if the length is fixed. `purpose` is how
    the purpose of the vectors is sent: in a field, as a prefix of the text, or not at all.
    """

    dimensions: int
    max_inputs: int
    max_tokens: int | None = None
    min_dimensions: int | None = None
    max_dimensions: int | None = None
    purpose: Literal["none", "field", "prefix"] = "none"

    def supports_dimensions(self, dimensions: int) -> bool:
        """Return whether the model can return vectors of this length."""
        if self.min_dimensions is None:
            return dimensions == self.dimensions
        return self.min_dimensions <= dimensions <= (self.max_dimensions or self.dimensions)


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider. None, an empty string or a missing capability means "unknown" and rejects nothing.

    `alternate_ids` are further ids of the same model, such as dated snapshots; `aliases` are the names that currently
    resolve to it. `context_window` limits input and output together, `max_input_tokens` the input alone. Limits of an
    answer are `min_output_tokens` and `max_output_tokens`.

    `sampling_fields` are the fields of `Sampling` the model accepts, `sampling_fields_while_reasoning` those it accepts
    while reasoning, and `sampling_api_version` the last API version that accepts temperature, top_p and top_k.
    `efforts` are in ascending order. `min_budget_tokens` is None if the model accepts no reasoning budget.
    `url_attachments` are the kinds of attachment ("image", "document") the provider fetches from a URL itself.
    `native_compaction` says that the Messages API compacts prompts for the model.
    A model with `embedding` returns vectors only. `wire` is the protocol it requires if its provider has several;
    `wire_overrides` holds the facts that differ on another wire. `checked` is the day `source` was read.
    """

    provider: str
    id: str
    name: str = ""
    alternate_ids: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    capabilities: Mapping[Capability, Support] = field(default_factory=dict)
    context_window: int | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    min_output_tokens: int | None = None

    sampling_fields: frozenset[str] | None = None
    sampling_fields_while_reasoning: frozenset[str] | None = None
    sampling_api_version: str = ""
    max_temperature: float | None = None
    temperature_excludes_top_p: bool = False
    max_stop_sequences: int | None = None
    blank_stop_sequences: bool = True

    thinking: ThinkingMode = "unknown"
    efforts: tuple[Effort, ...] | None = None
    default_effort: Effort | None = None
    min_budget_tokens: int | None = None
    shows_reasoning: bool | None = None

    forced_tools: bool | None = None
    forced_tools_while_reasoning: bool | None = None
    strict_tools: bool | None = None
    max_strict_tools: int | None = None
    tools_while_reasoning: bool | None = None
    prefill: bool | None = None
    url_attachments: frozenset[str] | None = None
    native_compaction: bool = False
    wire: Literal["", "chat_completions", "responses"] = ""
    wire_overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    embedding: EmbeddingSpec | None = None
    prompt_cache: PromptCacheSpec | None = None

    prices: Prices | None = None
    released: date | None = None
    retires: date | None = None
    note: str = ""
    source: str = ""
    checked: date | None = None

    @property
    def is_known(self) -> bool:
        """Return whether the catalog has facts about the model, rather than only its name."""
        return self.checked is not None

    def on_wire(self, wire: str) -> Model:
        """Return the model with the facts that apply if its provider is configured for this wire."""
        if wire in self.wire_overrides:
            return replace(self, wire="", wire_overrides={}, **self.wire_overrides[wire])
        if self.wire or wire != "responses" or self.embedding is not None:
            return self
        accepted = RESPONSES_SAMPLING_FIELDS
        return replace(
            self,
            wire="responses",
            sampling_fields=accepted if self.sampling_fields is None else self.sampling_fields & accepted,
            min_output_tokens=RESPONSES_MIN_OUTPUT_TOKENS,
        )

    def supports(self, capability: Capability) -> bool | None:
        """Return whether the model supports the capability, natively or emulated; None if unknown."""
        support = self.capabilities.get(capability)
        return None if support is None else support.level is not SupportLevel.NONE

    def reasons_at(self, effort: Effort | None) -> bool:
        """Return whether the model reasons at this effort; None is its default. An unknown default counts as yes."""
        if self.thinking in ("none", "unknown"):
            return False
        return (effort or self.default_effort) is not Effort.NONE

    def accepts_url(self, attachment: Attachment) -> bool:
        """Return whether the model's provider fetches this kind of attachment from its URL; True if unknown."""
        return self.url_attachments is None or attachment.kind in self.url_attachments


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a model of the provider, with default options. `description` is what the name promises."""

    provider: str
    name: str
    model: str
    description: str
    since: date
    sampling: Sampling = Sampling()
    reasoning: ReasoningOptions = ReasoningOptions()


@dataclass(frozen=True, slots=True)
class RetiredModel:
    """A model the provider no longer serves. `retired_on` is None if the provider published no date.

    `replacement` is the id of a current model of the same provider.
    """

    provider: str
    id: str
    retired_on: date | None
    replacement: str
