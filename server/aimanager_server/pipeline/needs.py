"""Tells what a question needs of a model, and refuses it before it costs anything where the model is known to lack it.

What is not known of a model is let through: its provider knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ..call import Ask
from ..catalogue import Capability, Catalogue, Model
from ..content import Attachment, Effort, Message, ReasoningOptions, Role, Text, ToolResult
from ..errors import CapabilityUnsupported
from ..fault import FieldViolation
from .turns import is_text

MOST_NAMED = 5
"""Models that are named in place of the one that cannot."""


@dataclass(frozen=True, slots=True)
class Need:
    """Something asked for at `field`; `lack` completes "the model …" where it is not met."""

    field: str
    lack: str
    met_by: Callable[[Model], bool]


def require(
    model: Model,
    ask: Ask,
    reasoning: ReasoningOptions,
    catalogue: Catalogue,
    wires: Mapping[str, str],
    *,
    streaming: bool,
) -> None:
    """Raises CapabilityUnsupported where the model lacks something, naming models that have everything needed.

    `reasoning` is what was asked for, an alias's share included; `wires` are the protocols spoken, by enabled provider.
    """
    needs = list(needs_of(ask, reasoning, wires, streaming=streaming))
    unmet = [need for need in needs if not need.met_by(model)]
    if not unmet:
        return

    def suits(other: Model) -> bool:
        is_real = other.provider != "mock" or model.provider == "mock"
        return is_real and other.provider in wires and all(need.met_by(other) for need in needs)

    able = catalogue.able(provider=model.provider, suits=suits)
    names = ", ".join(f"{other.provider}/{other.id}" for other in able[:MOST_NAMED])
    lacks = " and ".join(dict.fromkeys(need.lack for need in unmet))
    raise CapabilityUnsupported(
        f"The model '{model.provider}/{model.id}' {lacks}.{f' Models that can: {names}.' if names else ''}",
        solution=f"Use one of {names}, or leave out what it cannot do." if names else "",
        provider=model.provider,
        model=model.id,
        fields=tuple(FieldViolation(need.field, need.lack) for need in unmet),
        metadata={"models": names} if names else {},
    )


def needs_of(ask: Ask, reasoning: ReasoningOptions, wires: Mapping[str, str], *, streaming: bool) -> Iterator[Need]:
    """Everything the question needs, in the order of its fields."""
    yield Need(
        "model",
        "is served by a protocol that this server does not speak",
        lambda model: model.wire in ("", wires.get(model.provider)),
    )
    if streaming:
        yield _capability("model", "does not stream its answers", Capability.STREAMING)
    yield from _attachment_needs(ask.messages)
    yield from _prefill_needs(ask.messages)
    if ask.tools:
        yield from _tool_needs(ask, reasoning)


def _capability(field: str, lack: str, capability: Capability) -> Need:
    return Need(field, lack, lambda model: model.can(capability) is not False)


def _attachment_needs(messages: tuple[Message, ...]) -> Iterator[Need]:
    """One need for each kind of attachment, at the first of its kind."""
    told: set[tuple[str, bool]] = set()
    for field, attachment in _attachments(messages):
        kind = "image" if attachment.is_image else "document"
        linked = attachment.uri is not None
        if not is_text(attachment) and (kind, linked) not in told:
            told.add((kind, linked))
            yield from _file_needs(field, kind, linked=linked)


def _file_needs(field: str, kind: str, *, linked: bool) -> Iterator[Need]:
    capability = Capability.IMAGE_INPUT if kind == "image" else Capability.DOCUMENT_INPUT
    yield _capability(field, f"reads no {kind}s", capability)
    if linked:
        lack = f"takes {kind}s as data only, not by their address"
        yield Need(f"{field}.uri", lack, lambda model: model.linked is None or kind in model.linked)


def _attachments(messages: tuple[Message, ...]) -> Iterator[tuple[str, Attachment]]:
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


def _tool_needs(ask: Ask, reasoning: ReasoningOptions) -> Iterator[Need]:
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
