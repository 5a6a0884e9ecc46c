"""Validate an answer against a JSON Schema, in bounded time for any schema."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from pydantic_core import from_json
from referencing import Registry
from referencing.exceptions import Unresolvable

from ..core.content import JsonObjectFormat, OutputFormat
from ..core.handler import Clock
from ..validation.json_depth import count_values
from ..validation.patterns import MatchTooExpensive, Pattern, compile_pattern

MAX_STEPS = 500_000
"""Keyword evaluations per validation; the longest model output takes about a tenth of this."""

MAX_SECONDS = 5.0
"""Duration of one validation."""

SLICE_SECONDS = 0.002
"""Duration of a piece of work, after which a validation pauses for as long, so that the event loop can run."""

MATCH_COST_PER_STEP = 50
"""Cost of matching a pattern that counts as one step."""

MAX_ANSWER_LENGTH = 2 * 1024 * 1024
"""Characters of an answer that is validated."""

MAX_ANSWER_VALUES = 100_000
"""Brackets and commas of such an answer, which its values cannot exceed by more than one."""

MAX_VIOLATIONS = 5
MAX_MESSAGE_LENGTH = 300

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class ValidationBudgetExceeded(Exception):
    """The validation exceeded its steps or MAX_SECONDS, or the schema recurses without end."""


class AnswerTooLarge(Exception):
    """The answer is too large to validate. The message states the size and the limit."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One mismatch: its JSON pointer, the keyword that failed, and a description for the model."""

    path: str
    keyword: str
    message: str


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The answer as JSON, or its violations. Both are empty for an answer that was not validated."""

    json: str
    violations: tuple[Violation, ...] = ()


class SchemaValidator:
    """Validate the answers of one call against its output format. Not thread-safe."""

    def __init__(
        self,
        output_format: OutputFormat,
        clock: Clock,
        max_steps: int = MAX_STEPS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._budget = _StepBudget(clock, max_steps, pause)
        self._validator: Validator | None = None
        if not isinstance(output_format, JsonObjectFormat):
            kind = extend(Draft202012Validator, _budgeted_keywords(self._budget))  # type: ignore[no-untyped-call]  # untyped
            self._validator = kind(from_json(output_format.schema_json), registry=Registry())

    def validate(self, text: str) -> ValidationResult:
        """Validate a complete answer, without the code fence around it if it has one.

        Raises ValidationBudgetExceeded or AnswerTooLarge. May take seconds; it pauses in between.
        """
        _check_size(text)
        json = strip_code_fence(text)
        try:
            value = from_json(json, allow_inf_nan=False)
        except ValueError as error:
            return ValidationResult("", (Violation("", "json", f"it is not JSON: {error}"),))
        if self._validator is None:
            return _validate_object(json, value)
        violations = self._violations(self._validator, value)
        return ValidationResult("", violations) if violations else ValidationResult(json)

    def stop(self) -> None:
        """Let a validation in another thread raise ValidationBudgetExceeded soon: its result is no longer needed."""
        self._budget.stop()

    def _violations(self, validator: Validator, value: Any) -> tuple[Violation, ...]:
        self._budget.start()
        try:
            return tuple(map(_violation, islice(validator.iter_errors(value), MAX_VIOLATIONS)))
        except (RecursionError, ArithmeticError, MatchTooExpensive, Unresolvable) as error:
            raise ValidationBudgetExceeded from error


def strip_code_fence(text: str) -> str:
    """Return the content of a text that is a single fenced block, or the text itself.

    >>> strip_code_fence('```json\\n{"a": 1}\\n```')
    '{"a": 1}'
    """
    text = text.strip()
    opening, _, rest = text.partition("\n")
    content, _, closing = rest.rpartition("\n")
    fence = closing.strip()
    if fence[:3] in ("```", "~~~") and len(set(fence)) == 1 and opening.startswith(fence):
        return content.strip()
    return text


def _check_size(text: str) -> None:
    if len(text) > MAX_ANSWER_LENGTH:
        raise AnswerTooLarge(f"{len(text)} characters, at most {MAX_ANSWER_LENGTH} are validated")
    # No text of at most this length has more values.
    if len(text) > MAX_ANSWER_VALUES and (found := count_values(text)) > MAX_ANSWER_VALUES:
        raise AnswerTooLarge(f"{found} brackets and commas, at most {MAX_ANSWER_VALUES} are validated")


def _validate_object(json: str, value: Any) -> ValidationResult:
    if isinstance(value, dict):
        return ValidationResult(json)
    return ValidationResult("", (Violation("", "type", "it is JSON, but not an object"),))


def _violation(error: ValidationError) -> Violation:
    path = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in error.absolute_path)
    keyword = str(error.validator or "false")
    message = error.message
    if len(message) > MAX_MESSAGE_LENGTH:
        # jsonschema's message starts with the value, which can be as long as the answer.
        message = f"the value does not satisfy {keyword}: {error.validator_value!r}"[:MAX_MESSAGE_LENGTH]
    return Violation(path, keyword, f"at {path or 'the top'}: {message}")


class _StepBudget:
    """Limit the steps and seconds of one validation, and pause it after each slice of time."""

    __slots__ = ("_clock", "_deadline", "_is_stopped", "_max_steps", "_pause", "_resumed_at", "_steps_left")

    def __init__(self, clock: Clock, max_steps: int, pause: Callable[[float], None]) -> None:
        self._clock = clock
        self._max_steps = max_steps
        self._pause = pause
        self._steps_left = 0
        self._deadline = 0.0
        self._resumed_at = 0.0
        self._is_stopped = False

    def start(self) -> None:
        self._steps_left = self._max_steps
        self._resumed_at = self._clock()
        self._deadline = self._resumed_at + MAX_SECONDS

    def stop(self) -> None:
        self._is_stopped = True

    def spend(self, steps: int) -> None:
        self._steps_left -= steps
        now = self._clock()
        if self._steps_left < 0 or now > self._deadline or self._is_stopped:
            raise ValidationBudgetExceeded
        if now - self._resumed_at > SLICE_SECONDS:
            self._pause(now - self._resumed_at)
            self._resumed_at = self._clock()


def _budgeted_keywords(budget: _StepBudget) -> Mapping[str, Keyword]:
    """Return all keywords, each spending from the budget; replace those that take too long or too much memory."""
    patterns = _Patterns(budget)
    replacements: dict[str, Keyword] = {
        "pattern": patterns.pattern,
        "patternProperties": patterns.pattern_properties,
        "additionalProperties": patterns.additional_properties,
        "uniqueItems": _unique_items,
        "anyOf": _any_of,
        "oneOf": _one_of,
    }
    keywords = {**Draft202012Validator.VALIDATORS, **replacements}
    return {name: _budgeted(keyword, budget) for name, keyword in keywords.items()}


def _budgeted(keyword: Keyword, budget: _StepBudget) -> Keyword:
    def validate(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        budget.spend(1 + _length(value) + _length(instance))
        return keyword(validator, value, instance, schema)

    return validate


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | dict) else 0


class _Patterns:
    """The keywords with patterns. Each pattern is compiled once a validator."""

    def __init__(self, budget: _StepBudget) -> None:
        self._budget = budget
        self._compiled: dict[str, Pattern] = {}

    def pattern(self, validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not self._matches(pattern, instance):
            yield ValidationError(f"{instance!r} does not match {pattern!r}")

    def pattern_properties(
        self, validator: Any, patterns: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if not isinstance(instance, dict):
            return
        for pattern, subschema in patterns.items():
            for name, value in instance.items():
                if self._matches(pattern, name):
                    yield from validator.descend(value, subschema, path=name, schema_path=pattern)

    def additional_properties(
        self, validator: Any, subschema: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if not isinstance(instance, dict):
            return
        patterns = schema.get("patternProperties", ())
        known = schema.get("properties", {})
        for name, value in instance.items():
            if name in known or any(self._matches(pattern, name) for pattern in patterns):
                continue
            if subschema is False:
                yield ValidationError(f"the property {name!r} is not allowed")
            else:
                yield from validator.descend(value, subschema, path=name)

    def _matches(self, pattern: str, text: str) -> bool:
        compiled = self._compiled.get(pattern)
        if compiled is None:
            compiled = self._compiled[pattern] = compile_pattern(pattern)
        self._budget.spend(1 + compiled.cost(text) // MATCH_COST_PER_STEP)
        return compiled.matches(text)


def _any_of(validator: Any, subschemas: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not any(_is_valid(validator, subschema, instance) for subschema in subschemas):
        yield ValidationError(f"{instance!r} is not valid under any of the given schemas")


def _one_of(validator: Any, subschemas: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    matching = sum(_is_valid(validator, subschema, instance) for subschema in subschemas)
    if matching != 1:
        number = "more than one" if matching else "none"
        yield ValidationError(f"{instance!r} is valid under {number} of the given schemas")


def _is_valid(validator: Any, subschema: Any, instance: Any) -> bool:
    """Return whether there is no error. Collecting all errors, as jsonschema does, can take gigabytes."""
    return next(validator.descend(instance, subschema), None) is None


def _unique_items(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if unique and isinstance(instance, list) and len(set(map(_hashable, instance))) < len(instance):
        yield ValidationError("the items are not unique")


def _hashable(value: Any) -> Any:
    """Return a key that is equal for equal JSON values: 1 and 1.0 are equal, 1 and true are not."""
    match value:
        case bool():
            return ("boolean", value)
        case list():
            return tuple(map(_hashable, value))
        case dict():
            return frozenset((name, _hashable(item)) for name, item in value.items())
        case _:
            return value
