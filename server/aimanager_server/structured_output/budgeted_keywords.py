"""JSON Schema draft 2020-12 whose keywords spend from a budget, so that validation is bounded in time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from ..core.handler import Clock
from ..validation.patterns import Pattern, compile_pattern

MAX_SECONDS = 5.0
"""Duration of one validation."""

SLICE_SECONDS = 0.002
"""Duration of a piece of work, after which a validation pauses for as long, so that the event loop can run."""

MATCH_COST_PER_STEP = 50
"""Cost of matching a pattern that counts as one step."""

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class ValidationBudgetExceeded(Exception):
    """The validation exceeded its steps or MAX_SECONDS, or the schema recurses without end."""


class StepBudget:
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
        """Begin a validation."""
        self._steps_left = self._max_steps
        self._resumed_at = self._clock()
        self._deadline = self._resumed_at + MAX_SECONDS

    def stop(self) -> None:
        """Let the next `spend` raise. Safe to call from any thread."""
        self._is_stopped = True

    def spend(self, steps: int) -> None:
        """Count steps, and pause if a slice of time is over. Raises ValidationBudgetExceeded."""
        self._steps_left -= steps
        now = self._clock()
        if self._steps_left < 0 or now > self._deadline or self._is_stopped:
            raise ValidationBudgetExceeded
        if now - self._resumed_at > SLICE_SECONDS:
            self._pause(now - self._resumed_at)
            self._resumed_at = self._clock()


@dataclass(frozen=True, slots=True)
class _Run:
    """What the keywords of a validation share: its budget, and the patterns that are compiled so far."""

    budget: StepBudget
    patterns: dict[str, Pattern]

    def matches(self, pattern: str, text: str) -> bool:
        compiled = self.patterns.get(pattern)
        if compiled is None:
            compiled = self.patterns[pattern] = compile_pattern(pattern)
        self.budget.spend(1 + compiled.cost(text) // MATCH_COST_PER_STEP)
        return compiled.matches(text)


_current_run: ContextVar[_Run] = ContextVar("current_validation")
"""The validation that runs in this thread."""


@contextmanager
def validation_run(budget: StepBudget) -> Iterator[None]:
    """Let the keywords of a BudgetedValidator spend from this budget within the block."""
    token = _current_run.set(_Run(budget, {}))
    try:
        yield
    finally:
        _current_run.reset(token)


def _budgeted(keyword: Keyword) -> Keyword:
    def validate(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        _current_run.get().budget.spend(1 + _length(value) + _length(instance))
        return keyword(validator, value, instance, schema)

    return validate


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | dict) else 0


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _current_run.get().matches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    matches = _current_run.get().matches
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if matches(pattern, name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, subschema: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    matches = _current_run.get().matches
    patterns = schema.get("patternProperties", ())
    known = schema.get("properties", {})
    for name, value in instance.items():
        if name in known or any(matches(pattern, name) for pattern in patterns):
            continue
        if subschema is False:
            yield ValidationError(f"the property {name!r} is not allowed")
        else:
            yield from validator.descend(value, subschema, path=name)


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


def _evolve(validator: Any, **changes: Any) -> Any:
    """Return a validator of the same class for another schema.

    That of jsonschema follows the `$schema` of a subschema to another draft, whose keywords have no budget.
    """
    fields = {"schema": validator.schema, "registry": validator._registry, "_resolver": validator._resolver}
    return type(validator)(**(fields | changes))


def _budgeted_validator() -> Any:
    """Return a class that spends from the budget with each keyword, without keywords that take too long or too much."""
    replacements: dict[str, Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
        "anyOf": _any_of,
        "oneOf": _one_of,
    }
    keywords = {**Draft202012Validator.VALIDATORS, **replacements}
    budgeted = {name: _budgeted(keyword) for name, keyword in keywords.items()}
    validator: Any = extend(Draft202012Validator, budgeted)  # type: ignore[no-untyped-call]  # untyped
    validator.evolve = _evolve
    return validator


BudgetedValidator: Final = _budgeted_validator()
"""Built once: it takes almost a millisecond."""
