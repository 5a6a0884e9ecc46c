"""Finds what is wrong with a question before anybody is asked it, all at once and in terms of the proto's fields."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pydantic_core import from_json, to_json

from ..core.errors import FieldViolation, InvalidRequest, PayloadTooLarge
from ..routing.model_names import LONGEST_NAME
from .json_depth import is_deeper
from .messages import LONGEST_SHOWN, TooLarge, dialogue_flaws, shown, turn_flaws
from .output_format import format_flaws

if TYPE_CHECKING:
    from ..config.settings import Limits
    from ..core.content import Sampling, Tool
    from ..core.request import GenerateParams

Flaw = FieldViolation | TooLarge

MOST_TOLD = 20
"""Violations that are listed. Error details have to fit into a few kilobytes of trailers."""

TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

MOST_LABELS, LONGEST_LABEL_NAME, LONGEST_LABEL = 64, 64, 512

LONGEST_KEY = 255


def check(ask: GenerateParams, limits: Limits, providers: Collection[str], longest: float) -> None:
    """Raises InvalidRequest with every field that cannot be used; PayloadTooLarge where size is all that is wrong.

    `longest` is what any call may take, in seconds.
    """
    flaws = list(_flaws(ask, limits, providers, longest))
    if not flaws:
        return
    violations = [flaw for flaw in flaws if isinstance(flaw, FieldViolation)]
    oversized = [flaw for flaw in flaws if isinstance(flaw, TooLarge)]
    told = (*violations, *(flaw.violation() for flaw in oversized))
    if violations:
        raise InvalidRequest(_summary(told), violations=told[:MOST_TOLD])
    raise PayloadTooLarge(
        _summary(told),
        violations=told[:MOST_TOLD],
        metadata={"limit": str(oversized[0].limit), "actual": str(oversized[0].actual)},
    )


def _summary(flaws: tuple[FieldViolation, ...]) -> str:
    first = f"{flaws[0].field}: {flaws[0].description}."
    return first if len(flaws) == 1 else f"{len(flaws)} fields cannot be used. The first: {first}"


def _flaws(ask: GenerateParams, limits: Limits, providers: Collection[str], longest: float) -> Iterator[Flaw]:
    yield from turn_flaws(ask.messages, limits)
    yield from dialogue_flaws(ask.messages)
    yield from _sampling_flaws(ask.sampling)
    yield from _below_one("reasoning.budget_tokens", ask.reasoning.budget_tokens)
    yield from _tools_flaws(ask.tools, limits)
    yield from _choice_flaws(ask)
    yield from format_flaws(ask, limits.json_depth)
    yield from _options_flaws(ask, limits, providers)
    yield from _label_flaws(ask)
    yield from _fallback_flaws(ask.fallback_models)
    yield from _impatience("patience.first_token", ask.first_token_timeout, longest)
    yield from _impatience("patience.idle", ask.idle_timeout, longest)
    if len(ask.idempotency_key) > LONGEST_KEY:
        yield FieldViolation("idempotency_key", f"has {len(ask.idempotency_key)} characters, at most {LONGEST_KEY} fit")


def _sampling_flaws(sampling: Sampling) -> Iterator[FieldViolation]:
    yield from _outside("sampling.temperature", sampling.temperature, 2.0)
    yield from _outside("sampling.top_p", sampling.top_p, 1.0)
    yield from _below_one("sampling.top_k", sampling.top_k)
    yield from _below_one("sampling.max_output_tokens", sampling.max_output_tokens)
    for index, sequence in enumerate(sampling.stop_sequences):
        if not sequence:
            yield FieldViolation(f"sampling.stop_sequences[{index}]", "is empty")


def _outside(field: str, value: float | None, highest: float) -> Iterator[FieldViolation]:
    # Written so that NaN is outside too.
    if value is not None and not 0.0 <= value <= highest:
        yield FieldViolation(field, f"{value!r} is outside 0.0 to {highest!r}")


def _below_one(field: str, value: int | None) -> Iterator[FieldViolation]:
    if value is not None and value < 1:
        yield FieldViolation(field, f"{value!r} is below 1")


def _tools_flaws(tools: tuple[Tool, ...], limits: Limits) -> Iterator[FieldViolation]:
    if len(tools) > limits.tools:
        yield FieldViolation("tools", f"there are {len(tools)}, at most {limits.tools} are taken")
        return
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if not TOOL_NAME.fullmatch(tool.name):
            accepted = "letters, digits, '_' and '-', 1 to 64 of them"
            yield FieldViolation(f"tools[{index}].name", f"{shown(tool.name)} is no tool name: {accepted}")
        elif tool.name in seen:
            yield FieldViolation(f"tools[{index}].name", f"{tool.name!r} is there twice")
        seen.add(tool.name)
        problem = _schema_problem(tool.input_schema_json, limits.json_depth)
        if problem:
            yield FieldViolation(f"tools[{index}].input_schema_json", problem)


def _schema_problem(schema_json: str, deepest: int) -> str:
    if not schema_json:
        return ""
    try:
        schema = from_json(schema_json, allow_inf_nan=False)
    except ValueError:
        return "is not JSON"
    if not isinstance(schema, dict):
        return "is not a JSON object"
    return _depth_problem(schema, deepest)


def _depth_problem(value: object, deepest: int) -> str:
    return f"is nested deeper than {deepest} levels" if is_deeper(value, deepest) else ""


def _choice_flaws(ask: GenerateParams) -> Iterator[FieldViolation]:
    choice = ask.tool_choice
    if not ask.tools:
        if (choice.mode, choice.tool_name, choice.parallel) != (None, None, None):
            yield FieldViolation("tool_choice", "is given without tools to choose from")
    elif choice.tool_name is not None and choice.tool_name not in {tool.name for tool in ask.tools}:
        yield FieldViolation("tool_choice.tool_name", f"{shown(choice.tool_name)} is none of the tools given")


def _options_flaws(ask: GenerateParams, limits: Limits, providers: Collection[str]) -> Iterator[FieldViolation]:
    for name, options in ask.provider_options.items():
        field = _entry("provider_options_json", name)
        if name not in providers:
            yield FieldViolation(field, f"there is no such provider; there are {', '.join(sorted(providers))}")
        elif is_deeper(dict(options), limits.json_depth):
            yield FieldViolation(field, _depth_problem(dict(options), limits.json_depth))


def _label_flaws(ask: GenerateParams) -> Iterator[FieldViolation]:
    if len(ask.labels) > MOST_LABELS:
        yield FieldViolation("labels", f"there are {len(ask.labels)}, at most {MOST_LABELS} are taken")
        return
    for name, value in ask.labels.items():
        field = _entry("labels", name)
        if not 0 < len(name) <= LONGEST_LABEL_NAME:
            yield FieldViolation(field, f"its name has {len(name)} characters: 1 to {LONGEST_LABEL_NAME} are taken")
        if len(value) > LONGEST_LABEL:
            yield FieldViolation(field, f"has {len(value)} characters, at most {LONGEST_LABEL} fit")


def _fallback_flaws(names: tuple[str, ...]) -> Iterator[FieldViolation]:
    for index, name in enumerate(names):
        if not 0 < len(name) <= LONGEST_NAME:
            problem = f"has {len(name)} characters: 1 to {LONGEST_NAME} are taken"
            yield FieldViolation(f"fallback_models[{index}]", problem)


def _impatience(field: str, seconds: float | None, longest: float) -> Iterator[FieldViolation]:
    # Written so that NaN is outside too.
    if seconds is not None and not 0.0 < seconds <= longest:
        yield FieldViolation(field, f"{seconds:g} s is not accepted; more than 0 s and at most {longest:g} s is")


def _entry(field: str, name: str) -> str:
    return f"{field}[{to_json(name[:LONGEST_SHOWN]).decode()}]"
