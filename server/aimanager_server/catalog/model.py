"""What is known of a model: facts as data, apart from wires, keys and lookups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any, Literal

from ..core.content import Effort, ReasoningOptions, Sampling


class Capability(StrEnum):
    """Something a model can do."""

    STREAMING = "streaming"
    IMAGE_INPUT = "image_input"
    DOCUMENT_INPUT = "document_input"
    TOOL_CALLING = "tool_calling"
    PARALLEL_TOOL_CALLING = "parallel_tool_calling"
    STRUCTURED_OUTPUT = "structured_output"
    REASONING = "reasoning"
    PROMPT_CACHING = "prompt_caching"
    IMAGE_OUTPUT = "image_output"


class Level(StrEnum):
    """How well: not at all, made up for by the gateway, by the model itself."""

    NONE = "none"
    EMULATED = "emulated"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Support:
    """How well a model can do something, and what to know about it."""

    level: Level
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices in nano-dollars per million tokens. A discount or surcharge nobody published equals `input`."""

    input: int
    output: int
    cache_read: int
    cache_write: int


@dataclass(frozen=True, slots=True)
class Prices:
    """What a model costs: `standard`, unless one of the others applies.

    `long` holds for the whole call where its input is above `long_above` tokens; `off_peak` holds outside DeepSeek's
    peak hours; `later` holds from the day `later_from` on, UTC. A model has at most one of the three.
    """

    standard: Rates
    long: Rates | None = None
    long_above: int = 0
    off_peak: Rates | None = None
    later: Rates | None = None
    later_from: date = date.max
    currency: str = "USD"


SAMPLING_OVER_RESPONSES = frozenset(("max_output_tokens", "temperature", "top_p"))
LEAST_OVER_RESPONSES = 16
"""What of Sampling the Responses API has fields for, and the smallest limit of an answer it takes.

https://developers.openai.com/api/docs/api-reference/responses, read 2026-11-22."""

Thinking = Literal["unknown", "none", "always", "adaptive", "budget"]
"""How a model thinks: never; always; as it sees fit, but it can be told not to; within a number of tokens."""


@dataclass(frozen=True, slots=True)
class EmbeddingFacts:
    """What an embedding model does in one exchange: vectors of `dimensions` components for at most `max_inputs` texts.

    `max_tokens` bounds the texts of one exchange together, None where only each text is bounded. `least_dimensions` is
    the shortest vector it can be told to make, None where it makes one length; `most_dimensions` the longest.
    `purpose` is how it is told what the vectors are for: by a field, by words before the text, or not at all.
    """

    dimensions: int
    max_inputs: int
    max_tokens: int | None = None
    least_dimensions: int | None = None
    most_dimensions: int | None = None
    purpose: Literal["none", "field", "prefix"] = "none"

    def can_make(self, dimensions: int) -> bool:
        """Whether it makes vectors of that many components."""
        if self.least_dimensions is None:
            return dimensions == self.dimensions
        return self.least_dimensions <= dimensions <= (self.most_dimensions or self.dimensions)


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider. None, an empty string and a missing capability mean "not known", and forbid nothing.

    `also` are further ids the provider serves it under; `aliases` is what means it now. `max_input` is set where the
    input has a limit of its own. `sampling` holds the fields of Sampling the model takes, `sampling_while_reasoning`
    what is left of them while it thinks, `sampling_version` the last API version under which temperature, top_p and
    top_k pass. `efforts` are in order; `least_budget` is None where the model takes no budget of thinking tokens.
    `linked` are the kinds of attachment ("image", "document") it takes as an address. A model with `embedding` makes
    vectors and nothing else. `wire` is the protocol it is asked in where its provider speaks several, empty where
    that does not matter; `elsewhere` holds what differs on another one that serves it too. `least_output` is the
    smallest limit of an answer it takes.
    """

    provider: str
    id: str
    name: str = ""
    also: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    capabilities: Mapping[Capability, Support] = field(default_factory=dict)
    context_window: int | None = None
    max_input: int | None = None
    max_output: int | None = None
    least_output: int | None = None

    sampling: frozenset[str] | None = None
    sampling_while_reasoning: frozenset[str] | None = None
    sampling_version: str = ""
    highest_temperature: float | None = None
    temperature_or_top_p: bool = False
    most_stop_sequences: int | None = None
    blank_stop_sequences: bool = True

    thinking: Thinking = "unknown"
    efforts: tuple[Effort, ...] | None = None
    default_effort: Effort | None = None
    least_budget: int | None = None
    shows_reasoning: bool | None = None

    forced_tools: bool | None = None
    forced_tools_while_reasoning: bool | None = None
    strict_tools: bool | None = None
    most_strict_tools: int | None = None
    tools_while_reasoning: bool | None = None
    prefill: bool | None = None
    linked: frozenset[str] | None = None
    wire: Literal["", "chat_completions", "responses"] = ""
    elsewhere: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    embedding: EmbeddingFacts | None = None

    prices: Prices | None = None
    released: date | None = None
    retires: date | None = None
    note: str = ""
    source: str = ""
    checked: date | None = None

    @property
    def is_known(self) -> bool:
        """Facts were looked up: a row of the catalogue, not just a name from the configuration."""
        return self.checked is not None

    @property
    def max_output_tokens(self) -> int:
        """The most it writes, 0 where nobody knows."""
        return self.max_output or 0

    def over(self, wire: str) -> Model:
        """The model as its provider serves it where it is set to this wire; itself where that changes nothing."""
        if wire in self.elsewhere:
            return replace(self, wire="", elsewhere={}, **self.elsewhere[wire])
        if self.wire or wire != "responses" or self.embedding is not None:
            return self
        sampling = SAMPLING_OVER_RESPONSES if self.sampling is None else self.sampling & SAMPLING_OVER_RESPONSES
        return replace(self, wire="responses", sampling=sampling, least_output=LEAST_OVER_RESPONSES)

    def can(self, capability: Capability) -> bool | None:
        """Whether it can, the gateway's help included; None where that is not known."""
        support = self.capabilities.get(capability)
        return None if support is None else support.level is not Level.NONE

    def reasons(self, effort: Effort | None) -> bool:
        """Whether it thinks when asked for this effort; None is its default. Unknown defaults count as thinking."""
        if self.thinking in ("none", "unknown"):
            return False
        return (effort or self.default_effort) is not Effort.NONE


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that means a model and the options that go with it. `meaning` is what the name promises."""

    provider: str
    name: str
    model: str
    meaning: str
    since: date
    sampling: Sampling = Sampling()
    reasoning: ReasoningOptions = ReasoningOptions()


@dataclass(frozen=True, slots=True)
class Retired:
    """A model that is gone. `on` is None where nobody published a date; `replacement` is an id of the same provider."""

    provider: str
    id: str
    on: date | None
    replacement: str
