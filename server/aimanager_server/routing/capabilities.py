"""Derive what a request requires of a model, and reject models that are known not to support it.

An unknown capability is not rejected: the provider decides.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..catalog.catalog import Catalog
from ..catalog.model import Capability, Model, SupportLevel
from ..core.content import (
    Attachment,
    Effort,
    JsonSchemaFormat,
    Message,
    OutputFormat,
    ReasoningOptions,
    Role,
    Text,
    attachments_of,
)
from ..core.errors import CapabilityUnsupported, FieldViolation
from ..core.request import GenerateParams

MAX_SUGGESTED_MODELS = 5

SEND_INLINE_HINT = "send the file as data, or ask the operator to set server.fetch_attachments"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement of the request field `field`. `reason` completes "the model …" if a model does not meet it.

    `met_by` takes the reasoning options too, including those of an alias. `hint` is what the caller can change to keep
    using the model, if it is more than removing the field.
    """

    field: str
    reason: str
    met_by: Callable[[Model, ReasoningOptions], bool]
    hint: str = ""


def meets_all(model: Model, reasoning: ReasoningOptions, requirements: Sequence[Requirement]) -> bool:
    """Return whether the model meets the requirements with these reasoning options."""
    for requirement in requirements:  # noqa: SIM110 - a generator costs more than the checks
        if not requirement.met_by(model, reasoning):
            return False
    return True


def capability_error(
    model: Model,
    reasoning: ReasoningOptions,
    requirements: Sequence[Requirement],
    catalog: Catalog,
    providers: Container[str],
) -> CapabilityUnsupported:
    """Return the error of a model that does not meet the requirements, suggesting models of `providers` that do."""
    unmet = _unmet(model, reasoning, requirements)

    def is_suggested(other: Model) -> bool:
        is_real = other.provider != "mock" or model.provider == "mock"
        return is_real and other.provider in providers and meets_all(other, reasoning, requirements)

    capable = catalog.capable_models(provider=model.provider, matches=is_suggested)
    names = ", ".join(f"{other.provider}/{other.id}" for other in capable[:MAX_SUGGESTED_MODELS])
    suggestion = f" Models that support this request: {names}." if names else ""
    return CapabilityUnsupported(
        f"Model '{model.provider}/{model.id}' {_joined_reasons(unmet)}.{suggestion}",
        solution=_solution(unmet, names),
        provider=model.provider,
        model=model.id,
        violations=tuple(FieldViolation(one.field, f"cannot be used: the model {one.reason}") for one in unmet),
        metadata={"models": names} if names else {},
    )


def unmet_reason(model: Model, reasoning: ReasoningOptions, requirements: Sequence[Requirement]) -> str:
    """Return the reasons why the model does not meet the requirements, completing "the model …"; empty if it does."""
    return _joined_reasons(_unmet(model, reasoning, requirements))


def _unmet(model: Model, reasoning: ReasoningOptions, requirements: Sequence[Requirement]) -> list[Requirement]:
    return [requirement for requirement in requirements if not requirement.met_by(model, reasoning)]


def _joined_reasons(unmet: Sequence[Requirement]) -> str:
    return " and ".join(dict.fromkeys(requirement.reason for requirement in unmet))


def _solution(unmet: Sequence[Requirement], names: str) -> str:
    """Return the solution for these requirements; empty for the default one."""
    hint = unmet[0].hint if len({requirement.hint for requirement in unmet}) == 1 else ""
    if names:
        return f"Use one of {names}, or {hint or 'remove the unsupported fields'}."
    return f"{hint[0].upper()}{hint[1:]}." if hint else ""


class RequirementFinder:
    """Find everything that requests require of a model.

    `wires` maps enabled providers to their wires. With `fetch_attachments` the gateway downloads attachment URLs, so a
    model need not accept them.
    """

    def __init__(self, wires: Mapping[str, str], *, fetch_attachments: bool) -> None:
        self._fetch_attachments = fetch_attachments
        self._of_every_request = (
            Requirement(
                "model",
                "requires the Responses API, which its provider is not configured for",
                lambda model, _: model.wire != "responses" or wires.get(model.provider) == "responses",
            ),
            Requirement("model", "is an embedding model", lambda model, _: model.embedding is None),
        )
        self._of_every_stream = (
            *self._of_every_request,
            _capability("model", "does not support streaming", Capability.STREAMING),
        )

    def __call__(self, params: GenerateParams, *, streaming: bool) -> Sequence[Requirement]:
        """Return the requirements in the order of the request's fields."""
        requirements = self._of_every_stream if streaming else self._of_every_request
        specific = list(self._specific_requirements(params))
        return (*requirements, *specific) if specific else requirements

    def _specific_requirements(self, params: GenerateParams) -> Iterator[Requirement]:
        yield from _attachment_requirements(params.new_messages, fetch_attachments=self._fetch_attachments)
        if params.is_generation and params.new_messages[-1].role is Role.ASSISTANT:
            yield from _prefill_requirements(params.new_messages)
        if params.tools:
            yield from _tool_requirements(params)
        if params.output_format is not None:
            yield from _output_format_requirements(params.output_format)


def _capability(field: str, reason: str, capability: Capability) -> Requirement:
    return Requirement(field, reason, lambda model, _: model.supports(capability) is not False)


def _attachment_requirements(messages: Sequence[Message], *, fetch_attachments: bool) -> Iterator[Requirement]:
    """Yield the requirements of the first attachment of each kind, separately for data and URLs."""
    seen: set[tuple[str, bool]] = set()
    for field, attachment in attachments_of(messages):
        needs_url = attachment.uri is not None and not fetch_attachments
        key = (attachment.kind, needs_url)
        if not attachment.is_text and key not in seen:
            seen.add(key)
            yield from _requirements_of_attachment(field, attachment, needs_url=needs_url)


def _requirements_of_attachment(field: str, attachment: Attachment, *, needs_url: bool) -> Iterator[Requirement]:
    kind = attachment.kind
    capability = Capability.IMAGE_INPUT if kind == "image" else Capability.DOCUMENT_INPUT
    yield _capability(field, f"does not support {kind} input", capability)
    if needs_url:
        reason = f"accepts {kind}s only as data, not as URLs"
        yield Requirement(f"{field}.uri", reason, lambda model, _: model.accepts_url(attachment), SEND_INLINE_HINT)


def _prefill_requirements(messages: Sequence[Message]) -> Iterator[Requirement]:
    """Yield the requirements of a trailing assistant message."""
    last = messages[-1]
    if last.parts and isinstance(last.parts[-1], Text):
        reason = "does not support a trailing assistant message (prefill)"
        yield Requirement(f"messages[{len(messages) - 1}]", reason, lambda model, _: model.prefill is not False)


def _tool_requirements(params: GenerateParams) -> Iterator[Requirement]:
    yield _capability("tools", "does not support tool calling", Capability.TOOL_CALLING)
    yield Requirement("tools", "does not support tool calling while reasoning", _supports_tools_with)
    if params.tool_choice.parallel:
        reason = "does not support parallel tool calls"
        yield _capability("tool_choice.parallel", reason, Capability.PARALLEL_TOOL_CALLING)
    if params.tool_choice.is_forced:
        yield Requirement(
            "tool_choice", "does not support a forced tool call", lambda model, _: model.forced_tools is not False
        )
        yield Requirement(
            "tool_choice",
            "does not support a forced tool call while reasoning",
            lambda model, reasoning: (
                model.forced_tools_while_reasoning is not False or not _is_reasoning(model, reasoning)
            ),
        )
    strict = [index for index, tool in enumerate(params.tools) if tool.strict]
    if strict:
        yield Requirement(
            f"tools[{strict[0]}].strict",
            "does not support strict tools",
            lambda model, _: model.strict_tools is not False,
        )
        yield Requirement(
            "tools",
            f"supports fewer than {len(strict)} strict tools",
            lambda model, _: model.max_strict_tools is None or len(strict) <= model.max_strict_tools,
        )


def _output_format_requirements(output_format: OutputFormat) -> Iterator[Requirement]:
    yield _capability("output_format", "does not support structured output", Capability.STRUCTURED_OUTPUT)
    if isinstance(output_format, JsonSchemaFormat) and output_format.strict:
        reason = "does not support native structured output, which strict requires"
        yield Requirement("output_format.json_schema.strict", reason, _has_native_structured_output)


def _has_native_structured_output(model: Model, _: ReasoningOptions) -> bool:
    support = model.capabilities.get(Capability.STRUCTURED_OUTPUT)
    return support is None or support.level is SupportLevel.NATIVE


def _supports_tools_with(model: Model, reasoning: ReasoningOptions) -> bool:
    """Return whether the model supports tools with these reasoning options.

    Without requested reasoning, normalization can disable a reasoning default to allow tools.
    """
    if model.tools_while_reasoning is not False or not _is_reasoning(model, reasoning):
        return True
    return reasoning.effort is None and reasoning.budget_tokens is None and Effort.NONE in (model.efforts or ())


def _is_reasoning(model: Model, reasoning: ReasoningOptions) -> bool:
    effort = Effort.HIGH if reasoning.budget_tokens is not None else reasoning.effort
    if effort is Effort.NONE and model.efforts is not None and Effort.NONE not in model.efforts:
        return model.reasons_at(None)
    return model.reasons_at(effort)
