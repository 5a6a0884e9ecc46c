"""Validate a generation request before any upstream call, and report all violations at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ..catalog.model import MAX_MODEL_NAME_LENGTH
from ..config.providers import ProviderSettings
from ..config.restricted_options import RESTRICTED_OPTIONS
from ..config.settings import Limits
from ..core.content import Role, Sampling, Tool
from ..core.errors import FieldViolation
from ..core.request import Caller, GenerateParams
from .cache_policy import cache_policy_violations
from .idempotency_key import idempotency_key_violations
from .json_depth import parse_json_object
from .messages import message_json_violations, message_violations, tool_result_violations, without_history
from .native_options import NativeOptionsRules
from .output_format import output_format_violations
from .violations import Violation, entry_path, quoted, raise_violations, too_long

TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_LABELS, MAX_LABEL_NAME_LENGTH, MAX_LABEL_LENGTH = 64, 64, 512

MAX_STOP_SEQUENCE_LENGTH = 256

END_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""Accepted by every provider with such a field; OpenAI's has the smallest limit."""


class RequestValidator:
    """Validate generation requests. `max_call_seconds` limits the timeouts that a caller may set."""

    def __init__(self, limits: Limits, providers: Mapping[str, ProviderSettings], max_call_seconds: float) -> None:
        self._limits = limits
        self._max_call_seconds = max_call_seconds
        self._native_options = NativeOptionsRules(providers, RESTRICTED_OPTIONS, limits.max_json_depth)

    def __call__(self, params: GenerateParams, caller: Caller) -> None:
        """Raise InvalidRequest with every invalid field, or PayloadTooLarge if the only problem is size."""
        raise_violations(self._violations(params, caller), params.violations)

    def _violations(self, params: GenerateParams, caller: Caller) -> Iterator[Violation]:
        # Most requests have few fields set, and an unset field costs no more than its condition.
        limits = self._limits
        first = 0 if params.turn is None else params.turn.first_message
        yield from message_violations(params.new_messages, limits, has_history=first > 0)
        # Of the history, only a last message of the assistant can have tool calls without a result.
        start = first - 1 if first and params.messages[first - 1].role is Role.ASSISTANT else first
        of_results = tool_result_violations(params.messages[start:])
        yield from (without_history(violation, first - start) for violation in of_results) if start else of_results
        yield from message_json_violations(params.new_messages)
        yield from _sampling_violations(params.sampling)
        if params.reasoning.budget_tokens is not None:
            yield from below_minimum("reasoning.budget_tokens", params.reasoning.budget_tokens)
        if params.tools:
            yield from _tool_violations(params.tools, limits)
        yield from _tool_choice_violations(params)
        if params.output_format is not None:
            yield from output_format_violations(params, limits.max_json_depth)
        if params.provider_options:
            yield from self._native_options.violations(params.provider_options)
        if params.labels:
            yield from label_violations(params.labels)
        if params.fallback_models:
            yield from _fallback_violations(params.fallback_models)
        for timeout in ("first_token_timeout", "idle_timeout"):
            seconds = getattr(params, timeout)
            yield from _timeout_violations(f"stream_timeouts.{timeout}", seconds, self._max_call_seconds)
        if params.idempotency_key or params.end_user_id or params.cache_policy is not None:
            yield from _call_violations(params, caller)


def _call_violations(params: GenerateParams, caller: Caller) -> Iterator[Violation]:
    """Yield violations of fields that say something about the call, not about the response."""
    if params.idempotency_key:
        yield from idempotency_key_violations(params.idempotency_key, caller)
    if params.end_user_id and not END_USER_ID.fullmatch(params.end_user_id):
        # Not repeated: it may be a name or an address.
        yield FieldViolation("end_user_id", f"must match {END_USER_ID.pattern}; send a hash of other ids")
    if params.cache_policy is not None:
        yield from cache_policy_violations(params.cache_policy)


def _sampling_violations(sampling: Sampling) -> Iterator[FieldViolation]:
    if sampling.temperature is not None:
        yield from _out_of_range("sampling.temperature", sampling.temperature, 2.0)
    if sampling.top_p is not None:
        yield from _out_of_range("sampling.top_p", sampling.top_p, 1.0)
    if sampling.top_k is not None:
        yield from below_minimum("sampling.top_k", sampling.top_k)
    if sampling.max_output_tokens is not None:
        yield from below_minimum("sampling.max_output_tokens", sampling.max_output_tokens)
    for index, sequence in enumerate(sampling.stop_sequences):
        field = f"sampling.stop_sequences[{index}]"
        if not sequence:
            yield FieldViolation(field, "must not be empty")
        yield from too_long(field, sequence, MAX_STOP_SEQUENCE_LENGTH)


def _out_of_range(field: str, value: float, maximum: float) -> Iterator[FieldViolation]:
    # The condition is also true for NaN.
    if not 0.0 <= value <= maximum:
        yield FieldViolation(field, f"must be between 0.0 and {maximum!r}, got {value!r}")


def below_minimum(field: str, value: int | None) -> Iterator[FieldViolation]:
    """Yield a violation if the value is set and less than 1."""
    if value is not None and value < 1:
        yield FieldViolation(field, f"must be at least 1, got {value}")


def _tool_violations(tools: Sequence[Tool], limits: Limits) -> Iterator[FieldViolation]:
    if len(tools) > limits.max_tools:
        yield FieldViolation("tools", f"must have at most {limits.max_tools} items, got {len(tools)}")
        return
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if not TOOL_NAME.fullmatch(tool.name):
            description = f"must match {TOOL_NAME.pattern}, got {quoted(tool.name)}"
            yield FieldViolation(f"tools[{index}].name", description)
        elif tool.name in seen:
            yield FieldViolation(f"tools[{index}].name", f"duplicates the tool name {tool.name!r}")
        seen.add(tool.name)
        if tool.input_schema_json:
            try:
                parse_json_object(tool.input_schema_json, limits.max_json_depth)
            except ValueError as error:
                yield FieldViolation(f"tools[{index}].input_schema_json", str(error))


def _tool_choice_violations(params: GenerateParams) -> Iterator[FieldViolation]:
    choice = params.tool_choice
    if not params.tools:
        if (choice.mode, choice.tool_name, choice.parallel) != (None, None, None):
            yield FieldViolation("tool_choice", "requires tools")
    elif choice.tool_name is not None and choice.tool_name not in {tool.name for tool in params.tools}:
        description = f"must be the name of one of the tools, got {quoted(choice.tool_name)}"
        yield FieldViolation("tool_choice.tool_name", description)


def label_violations(labels: Mapping[str, str]) -> Iterator[FieldViolation]:
    """Yield the labels that exceed a limit."""
    if len(labels) > MAX_LABELS:
        yield FieldViolation("labels", f"must have at most {MAX_LABELS} entries, got {len(labels)}")
        return
    for name, value in labels.items():
        field = entry_path("labels", name)
        if not 0 < len(name) <= MAX_LABEL_NAME_LENGTH:
            description = f"must have a name of 1 to {MAX_LABEL_NAME_LENGTH} characters, got {len(name)}"
            yield FieldViolation(field, description)
        yield from too_long(field, value, MAX_LABEL_LENGTH)


def _fallback_violations(names: Sequence[str]) -> Iterator[FieldViolation]:
    for index, name in enumerate(names):
        if not 0 < len(name) <= MAX_MODEL_NAME_LENGTH:
            description = f"must have 1 to {MAX_MODEL_NAME_LENGTH} characters, got {len(name)}"
            yield FieldViolation(f"fallback_models[{index}]", description)


def _timeout_violations(field: str, seconds: float | None, max_seconds: float) -> Iterator[FieldViolation]:
    # The condition is also true for NaN.
    if seconds is not None and not 0.0 < seconds <= max_seconds:
        yield FieldViolation(field, f"must be greater than 0 s and at most {max_seconds:g} s, got {seconds:g} s")
