"""Tells what a question needs of a model, and refuses it before it costs anything where the model is known to lack it.

What is not known of a model is let through: its provider knows.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..catalog.catalog import Capability, Catalogue, Level, Model
from ..core.content import (
    Attachment,
    Effort,
    JsonSchemaFormat,
    Message,
    OutputFormat,
    ReasoningOptions,
    Role,
    Text,
    ToolResult,
)
from ..core.errors import CapabilityUnsupported, FieldViolation
from ..core.request import GenerateParams
from ..validation.messages import is_text

MOST_NAMED = 5
"""Models that are named in place of the one that cannot."""

AS_DATA = "send the file as data, or have the operator set server.fetch_attachments"


@dataclass(frozen=True, slots=True)
class Need:
    """Something asked for at `field`; `lack` completes "the model …" where it is not met.

    `otherwise` says what can be done with this model, where that is more than to leave it out.
    """

    field: str
    lack: str
    met_by: Callable[[Model], bool]
    otherwise: str = ""


def require(
    model: Model,
    ask: GenerateParams,
    reasoning: ReasoningOptions,
    catalogue: Catalogue,
    wires: Mapping[str, str],
    *,
    streaming: bool,
    fetches: bool = False,
) -> None:
    """Raises CapabilityUnsupported where the model lacks something, naming models that have everything needed.

    `reasoning` is what was asked for, an alias's share included; `wires` are the protocols spoken, by enabled provider.
    Where the gateway `fetches`, every model that reads a kind of file takes its address.
    """
    demand(model, list(needs_of(ask, reasoning, wires, streaming=streaming, fetches=fetches)), catalogue, wires)


def demand(model: Model, needs: Sequence[Need], catalogue: Catalogue, providers: Container[str]) -> None:
    """Raises CapabilityUnsupported where a need is not met, naming models of these providers that meet all of them."""
    unmet = _unmet(model, needs)
    if not unmet:
        return

    def suits(other: Model) -> bool:
        is_real = other.provider != "mock" or model.provider == "mock"
        return is_real and other.provider in providers and all(need.met_by(other) for need in needs)

    able = catalogue.able(provider=model.provider, suits=suits)
    names = ", ".join(f"{other.provider}/{other.id}" for other in able[:MOST_NAMED])
    raise CapabilityUnsupported(
        f"The model '{model.provider}/{model.id}' {_in_words(unmet)}.{f' Models that can: {names}.' if names else ''}",
        solution=_solution(unmet, names),
        provider=model.provider,
        model=model.id,
        violations=tuple(FieldViolation(need.field, need.lack) for need in unmet),
        metadata={"models": names} if names else {},
    )


def lacks(model: Model, needs: Sequence[Need]) -> str:
    """What completes "the model …" where needs are not met; empty where all are."""
    return _in_words(_unmet(model, needs))


def _unmet(model: Model, needs: Sequence[Need]) -> list[Need]:
    return [need for need in needs if not need.met_by(model)]


def _in_words(unmet: Sequence[Need]) -> str:
    return " and ".join(dict.fromkeys(need.lack for need in unmet))


def _solution(unmet: Sequence[Need], names: str) -> str:
    """Empty for the general one."""
    otherwise = unmet[0].otherwise if len({need.otherwise for need in unmet}) == 1 else ""
    if names:
        return f"Use one of {names}, or {otherwise or 'leave out what it cannot do'}."
    return f"{otherwise[0].upper()}{otherwise[1:]}." if otherwise else ""


def needs_of(
    ask: GenerateParams,
    reasoning: ReasoningOptions,
    wires: Mapping[str, str],
    *,
    streaming: bool,
    fetches: bool = False,
) -> Iterator[Need]:
    """Everything the question needs, in the order of its fields."""
    yield Need(
        "model",
        "is served by a protocol that this server does not speak",
        lambda model: model.wire != "responses" or wires.get(model.provider) == "responses",
    )
    yield Need("model", "makes vectors instead of answers", lambda model: model.embedding is None)
    if streaming:
        yield _capability("model", "does not stream its answers", Capability.STREAMING)
    yield from _attachment_needs(ask.messages, fetches=fetches)
    yield from _prefill_needs(ask.messages)
    if ask.tools:
        yield from _tool_needs(ask, reasoning)
    if ask.output_format is not None:
        yield from _format_needs(ask.output_format)


def _capability(field: str, lack: str, capability: Capability) -> Need:
    return Need(field, lack, lambda model: model.can(capability) is not False)


def _attachment_needs(messages: tuple[Message, ...], *, fetches: bool) -> Iterator[Need]:
    """One need for each kind of attachment, at the first of its kind."""
    told: set[tuple[str, bool]] = set()
    for field, attachment in attachments_of(messages):
        kind = _kind(attachment)
        linked = attachment.uri is not None and not fetches
        if not is_text(attachment) and (kind, linked) not in told:
            told.add((kind, linked))
            yield from _file_needs(field, attachment, linked=linked)


def _file_needs(field: str, attachment: Attachment, *, linked: bool) -> Iterator[Need]:
    kind = _kind(attachment)
    capability = Capability.IMAGE_INPUT if kind == "image" else Capability.DOCUMENT_INPUT
    yield _capability(field, f"reads no {kind}s", capability)
    if linked:
        lack = f"takes {kind}s as data only, not by their address"
        yield Need(f"{field}.uri", lack, lambda model: takes_address(model, attachment), AS_DATA)


def takes_address(model: Model, attachment: Attachment) -> bool:
    """Whether the model's provider fetches such a file by itself, as far as is known."""
    return model.linked is None or _kind(attachment) in model.linked


def _kind(attachment: Attachment) -> str:
    return "image" if attachment.is_image else "document"


def attachments_of(messages: tuple[Message, ...]) -> Iterator[tuple[str, Attachment]]:
    """Every file, those of tool results included, with its field."""
    for index, message in enumerate(messages):
        for position, part in enumerate(message.parts):
            field = f"messages[{index}].parts[{position}]"
            if isinstance(part, Attachment):
                yield f"{field}.attachment", part
            elif isinstance(part, ToolResult):
                for number, attachment in enumerate(part.attachments):
                    yield f"{field}.tool_result.attachments[{number}]", attachment


def _prefill_needs(messages: tuple[Message, ...]) -> Iterator[Need]:
    last = messages[-1]
    if last.role is Role.ASSISTANT and last.parts and isinstance(last.parts[-1], Text):
        lack = "does not go on from an answer begun by the caller"
        yield Need(f"messages[{len(messages) - 1}]", lack, lambda model: model.prefill is not False)


def _tool_needs(ask: GenerateParams, reasoning: ReasoningOptions) -> Iterator[Need]:
    yield _capability("tools", "calls no tools", Capability.TOOL_CALLING)
    yield Need("tools", "calls no tools while it thinks", lambda model: _calls_while_asked(model, reasoning))
    if ask.tool_choice.parallel:
        lack = "calls one tool at a time"
        yield _capability("tool_choice.parallel", lack, Capability.PARALLEL_TOOL_CALLING)
    if ask.tool_choice.is_forced:
        yield Need("tool_choice", "cannot be forced to call a tool", lambda model: model.forced_tools is not False)
        yield Need(
            "tool_choice",
            "cannot be forced to call a tool while it thinks",
            lambda model: model.forced_tools_while_reasoning is not False or not _thinks(model, reasoning),
        )
    strict = [index for index, tool in enumerate(ask.tools) if tool.strict]
    if strict:
        yield Need(
            f"tools[{strict[0]}].strict",
            "cannot promise that arguments match a schema",
            lambda model: model.strict_tools is not False,
        )
        yield Need(
            "tools",
            f"takes fewer than {len(strict)} strict tools",
            lambda model: model.most_strict_tools is None or len(strict) <= model.most_strict_tools,
        )


def _format_needs(wanted: OutputFormat) -> Iterator[Need]:
    yield _capability("output_format", "gives no structured output", Capability.STRUCTURED_OUTPUT)
    if isinstance(wanted, JsonSchemaFormat) and wanted.strict:
        lack = "cannot promise that its answer matches a schema"
        yield Need("output_format.json_schema.strict", lack, _promises_schemas)


def _promises_schemas(model: Model) -> bool:
    support = model.capabilities.get(Capability.STRUCTURED_OUTPUT)
    return support is None or support.level is Level.NATIVE


def _calls_while_asked(model: Model, reasoning: ReasoningOptions) -> bool:
    """Where nobody asked for thinking, it can be turned off to make room for tools; `settle` does."""
    if model.tools_while_reasoning is not False or not _thinks(model, reasoning):
        return True
    return reasoning.effort is None and reasoning.budget_tokens is None and Effort.NONE in (model.efforts or ())


def _thinks(model: Model, reasoning: ReasoningOptions) -> bool:
    asked = Effort.HIGH if reasoning.budget_tokens is not None else reasoning.effort
    if asked is Effort.NONE and model.efforts is not None and Effort.NONE not in model.efforts:
        return model.reasons(None)
    return model.reasons(asked)
