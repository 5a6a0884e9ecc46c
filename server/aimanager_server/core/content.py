"""Messages, content parts, tools and generation options, independent of protobuf and of any provider."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, StrEnum
from typing import Literal

from .value import dataclass

TEXT_MIME_TYPES = re.compile(r"text/[a-z0-9!#$&^_.+-]+(;.*)?|application/(json|xml)")
"""Attachments that are sent as text of the prompt, which every model reads."""


class Role(StrEnum):
    """Author of a message."""

    USER = "user"
    ASSISTANT = "assistant"


class CacheHint(StrEnum):
    """How long the provider should cache the prompt up to a part: as long as it does by default, or the longest."""

    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text. `provider_state` is the provider's opaque signature, here as in every part.

    `cache_hint` asks the provider to cache the prompt up to the end of the part; None does not.
    """

    text: str
    provider_state: bytes = b""
    cache_hint: CacheHint | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Reasoning that the provider returned. If `redacted`, only `provider_state` has content."""

    text: str
    redacted: bool = False
    provider_state: bytes = b""
    cache_hint: CacheHint | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file: exactly one of `data` (bytes) and `uri` (https) is set."""

    mime_type: str
    filename: str = ""
    data: bytes | None = None
    uri: str | None = None
    provider_state: bytes = b""
    cache_hint: CacheHint | None = None

    @property
    def is_image(self) -> bool:
        """Return whether the MIME type is image/*."""
        return self.mime_type.startswith("image/")

    @property
    def is_text(self) -> bool:
        """Return whether the content is sent as text of the prompt, so that every model reads it.

        >>> Attachment("text/plain; charset=utf-8").is_text, Attachment("application/pdf").is_text
        (True, False)
        """
        return TEXT_MIME_TYPES.fullmatch(self.mime_type) is not None

    @property
    def kind(self) -> Literal["image", "document"]:
        """Return the kind of input a model must accept to read the attachment."""
        return "image" if self.is_image else "document"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's request to call a tool. `arguments_json` is as the model wrote it and may be invalid JSON."""

    id: str
    name: str
    arguments_json: str
    provider_state: bytes = b""
    cache_hint: CacheHint | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call, from the caller."""

    tool_call_id: str
    name: str
    output: str
    attachments: tuple[Attachment, ...] = ()
    is_error: bool = False
    provider_state: bytes = b""
    cache_hint: CacheHint | None = None


Part = Text | Reasoning | Attachment | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `provider` and `model` name the author of an assistant message; they are empty if unknown."""

    role: Role
    parts: tuple[Part, ...]
    provider: str = ""
    model: str = ""

    @property
    def needs_previous(self) -> bool:
        """Return whether the message makes no sense without the one before it."""
        return self.role is Role.ASSISTANT or any(isinstance(part, ToolResult) for part in self.parts)


def turn_starts(messages: Sequence[Message]) -> list[int]:
    """Return the indices at which turns begin: of the first message, and of each user message after an answer.

    A message with tool results continues the turn of the calls.
    """
    starts = [
        index
        for index in range(1, len(messages))
        if messages[index - 1].role is Role.ASSISTANT and not messages[index].needs_previous
    ]
    return [0, *starts] if messages else []


def attachments_of(messages: Iterable[Message]) -> Iterator[tuple[str, Attachment]]:
    """Yield every attachment with its field path, including the attachments of tool results."""
    for index, message in enumerate(messages):
        for position, part in enumerate(message.parts):
            if isinstance(part, Attachment):
                yield f"messages[{index}].parts[{position}].attachment", part
            elif isinstance(part, ToolResult):
                for number, attachment in enumerate(part.attachments):
                    yield f"messages[{index}].parts[{position}].tool_result.attachments[{number}]", attachment


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool the model may call. `input_schema_json` is a JSON object, `{}` for a tool without arguments."""

    name: str
    description: str = ""
    input_schema_json: str = "{}"
    strict: bool = False


class ToolMode(StrEnum):
    """Whether the model may, must or must not call tools."""

    AUTO = "auto"
    REQUIRED = "required"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Tool choice: at most one of `mode` and `tool_name` is set. None selects the provider's default."""

    mode: ToolMode | None = None
    tool_name: str | None = None
    parallel: bool | None = None

    @property
    def is_forced(self) -> bool:
        """Return whether the model must call a tool."""
        return self.tool_name is not None or self.mode is ToolMode.REQUIRED


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling options. None means "not set", never zero."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop_sequences: tuple[str, ...] = ()


MEDIUM_BUDGET, HIGH_BUDGET = 4096, 16_384
"""Smallest budgets that correspond to effort medium and high; smaller budgets correspond to low."""


class Effort(Enum):
    """Reasoning effort. The values give the order of the levels."""

    NONE = 0
    MINIMAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    XHIGH = 5
    MAX = 6

    @property
    def label(self) -> str:
        """Return the level as wires and configuration files spell it."""
        return self.name.lower()

    @classmethod
    def for_budget(cls, tokens: int) -> Effort:
        """Return the level that corresponds to a token budget.

        >>> Effort.for_budget(1024), Effort.for_budget(20_000)
        (<Effort.LOW: 2>, <Effort.HIGH: 4>)
        """
        return cls.LOW if tokens < MEDIUM_BUDGET else cls.MEDIUM if tokens < HIGH_BUDGET else cls.HIGH


@dataclass(frozen=True, slots=True)
class ReasoningOptions:
    """Reasoning options: effort, token budget, and whether to return the reasoning. None is the model's default.

    `is_include_optional`: a model that does not return its reasoning gives no warning.
    """

    effort: Effort | None = None
    budget_tokens: int | None = None
    include: bool = False
    is_include_optional: bool = False


@dataclass(frozen=True, slots=True)
class JsonObjectFormat:
    """Require a JSON object with any content."""


@dataclass(frozen=True, slots=True)
class JsonSchemaFormat:
    """Require JSON that matches a schema. `name` is never empty; `schema_json` is the caller's JSON object.

    `strict` requires a provider that enforces the schema itself; validation and repair by the gateway do not suffice.
    """

    name: str
    schema_json: str
    strict: bool = False


OutputFormat = JsonObjectFormat | JsonSchemaFormat


class PromptOptimization(StrEnum):
    """A way to shorten a prompt without a change of meaning."""

    WHITESPACE = "whitespace"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file extracted from an answer: exactly one of `text` and `data` is set. Artifacts are never sent to a model.

    `id` is unique within the answer. `language` is empty unless the artifact is source code.
    """

    id: str
    name: str
    mime_type: str
    language: str = ""
    text: str | None = None
    data: bytes | None = None
