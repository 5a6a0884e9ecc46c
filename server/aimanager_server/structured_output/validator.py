"""Validate an answer against a JSON Schema, in bounded time for any schema."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema import ValidationError
from jsonschema.protocols import Validator
from pydantic_core import from_json
from referencing import Registry
from referencing.exceptions import Unresolvable

from ..core.content import JsonObjectFormat, OutputFormat
from ..core.handler import Clock
from ..validation.json_depth import count_values
from ..validation.patterns import MatchTooExpensive
from .budgeted_keywords import BudgetedValidator, StepBudget, ValidationBudgetExceeded, validation_run

MAX_STEPS = 500_000
"""Keyword evaluations per validation; the longest model output takes about a tenth of this."""

MAX_ANSWER_LENGTH = 2 * 1024 * 1024
"""Characters of an answer that is validated."""

MAX_ANSWER_VALUES = 100_000
"""Brackets and commas of such an answer, which its values cannot exceed by more than one."""

MAX_VIOLATIONS = 5
MAX_MESSAGE_LENGTH = 300


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
        self._budget = StepBudget(clock, max_steps, pause)
        self._validator: Validator | None = None
        if not isinstance(output_format, JsonObjectFormat):
            self._validator = BudgetedValidator(from_json(output_format.schema_json), registry=Registry())

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
            with validation_run(self._budget):
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
