"""What is said: turns, parts, tools and options in our words, free of protobuf."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text. `provider_state` is the provider's opaque signature, here as in every part."""

    text: str
    provider_state: bytes = b""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thinking the provider showed; redacted: only `provider_state` is left."""

    text: str
    redacted: bool = False
    provider_state: bytes = b""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file: exactly one of `data` (bytes) and `uri` (https) is set."""

    mime_type: str
    filename: str = ""
    data: bytes | None = None
    uri: str | None = None
    provider_state: bytes = b""

    @property
    def is_image(self) -> bool:
        """True for image/*."""
        return self.mime_type.startswith("image/")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool; `arguments_json` is as the model wrote it, perhaps not valid."""

    id: str
    name: str
    arguments_json: str
    provider_state: bytes = b""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The caller's answer to a tool call."""

    tool_call_id: str
    name: str
    output: str
    attachments: tuple[Attachment, ...] = ()
    is_error: bool = False
    provider_state: bytes = b""


Part = Text | Reasoning | Attachment | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `provider` and `model` name the author of an assistant turn, empty where unknown."""

    role: Role
    parts: tuple[Part, ...]
    provider: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something the model may ask for; `input_schema_json` is a JSON object, `{}` where it takes no arguments."""

    name: str
    description: str = ""
    input_schema_json: str = "{}"
    strict: bool = False


class ToolMode(StrEnum):
    """A general rule for using tools."""

    AUTO = "auto"
    REQUIRED = "required"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """At most one of `mode` and `tool_name`; None everywhere is the provider's default."""

    mode: ToolMode | None = None
    tool_name: str | None = None
    parallel: bool | None = None

    @property
    def is_forced(self) -> bool:
        """The model must call a tool."""
        return self.tool_name is not None or self.mode is ToolMode.REQUIRED


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer is drawn; None is "not said", never zero."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop_sequences: tuple[str, ...] = ()


class Effort(Enum):
    """How hard to think; the values order the levels."""

    NONE = 0
    MINIMAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    XHIGH = 5
    MAX = 6

    @property
    def label(self) -> str:
        """The level as every wire and configuration file spells it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class ReasoningOptions:
    """How much to think; None is the model's default."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    include: bool = False


@dataclass(frozen=True, slots=True)
class JsonObjectFormat:
    """The answer is a JSON object, whatever is in it."""


@dataclass(frozen=True, slots=True)
class JsonSchemaFormat:
    """The answer is JSON of a schema. `name` is never empty; `schema_json` is a JSON object, as the caller wrote it.

    `strict`: the provider must promise the schema by itself; the gateway's own check and repair are not enough.
    """

    name: str
    schema_json: str
    strict: bool = False


OutputFormat = JsonObjectFormat | JsonSchemaFormat


@dataclass(frozen=True, slots=True)
class Artifact:
    """A deliverable lifted out of an answer, never sent back to a model: exactly one of `text` and `data` is set.

    `id` is unique in the answer. `language` is empty for anything but code.
    """

    id: str
    name: str
    mime_type: str
    language: str = ""
    text: str | None = None
    data: bytes | None = None
