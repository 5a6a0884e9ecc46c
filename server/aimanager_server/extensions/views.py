"""What an extension sees of a call: never a key or token of its caller, and nothing of other calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from ..core.content import Artifact, Message, OutputFormat, Part, ReasoningOptions, Sampling, Text, Tool, ToolChoice
from ..core.response import FinishReason
from ..core.usage import Cost, Usage
from ..core.value import dataclass


@dataclass(slots=True, eq=False)
class ExtensionCall:
    """The call that an extension is part of. `caller` is the name of the caller, empty if anonymous.

    `requested_model` is the model as the caller named it; `provider` and `model` are the target that is tried first.
    `conversation_id` is empty without a conversation. `state` belongs to the extension and this call.
    """

    id: str
    caller: str
    requested_model: str
    provider: str
    model: str
    conversation_id: str
    is_streamed: bool
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExtensionRequest:
    """What an extension may change of a request; `dataclasses.replace` makes a changed copy.

    `messages` are those of the call, `history` those of its conversation, of which the number must stay the same.
    `sampling` and `reasoning` are what the caller requested, and `output_format` None means free text. A changed
    request is validated, and its options are adapted to the models, as if the caller had sent it.
    """

    messages: tuple[Message, ...]
    history: tuple[Message, ...] = ()
    system_instruction: str = ""
    sampling: Sampling = Sampling()
    reasoning: ReasoningOptions = ReasoningOptions()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    output_format: OutputFormat | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    end_user_id: str = ""
    provider_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExtensionResponse:
    """A complete response. An extension may change `parts` alone: the rest describes what the model did.

    `provider` and `model` are those that answered. `cost` is None if the price is unknown. `structured_json` is the
    validated answer of a call with an output format, else empty. Artifacts and `structured_json` are made again from
    changed parts.
    """

    parts: tuple[Part, ...]
    provider: str = ""
    model: str = ""
    finish_reason: FinishReason = FinishReason.STOP
    usage: Usage = Usage()
    cost: Cost | None = None
    structured_json: str = ""
    artifacts: tuple[Artifact, ...] = ()

    @property
    def text(self) -> str:
        """Return the text of all text parts."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    def with_text(self, text: str) -> ExtensionResponse:
        """Return the response with this text in place of all text parts, where the first of them was.

        >>> ExtensionResponse((Text("a"), Text("b"))).with_text("c").parts
        (Text(text='c', provider_state=b'', cache_hint=None),)
        """
        first = next((index for index, part in enumerate(self.parts) if isinstance(part, Text)), len(self.parts))
        others = [part for part in self.parts if not isinstance(part, Text)]
        parts = (*others[:first], Text(text), *others[first:])
        return ExtensionResponse(
            parts, self.provider, self.model, self.finish_reason, self.usage, self.cost, self.structured_json,
            self.artifacts,
        )  # fmt: skip
