"""Checks an answer against the shape that was asked for, within bounds however the schema was made."""

from __future__ import annotations

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
from ..validation.json_schema import pattern_of

MOST_STEPS = 500_000
"""Keywords that are tried on values; a model's longest answer takes a tenth of it."""

MOST_SECONDS = 5.0
"""The longest a check may take."""

MOST_FLAWS = 5
LONGEST_FLAW = 300

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class TooLaborious(Exception):
    """Checking takes more steps or seconds than anybody may have."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with an answer: where, as a JSON pointer, which keyword is not met, and words for the model."""

    path: str
    keyword: str
    words: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer as JSON, or what is wrong with it; one of the two is empty."""

    json: str
    flaws: tuple[Flaw, ...] = ()


class Shape:
    """What an answer has to be. Made for one call: not to be used by two threads at once."""

    def __init__(self, wanted: OutputFormat, clock: Clock) -> None:
        self._effort = _Effort(clock)
        self._validator: Validator | None = None
        if not isinstance(wanted, JsonObjectFormat):
            kind = extend(Draft202012Validator, _bounded(self._effort))  # type: ignore[no-untyped-call]  # its stubs say nothing
            self._validator = kind(from_json(wanted.schema_json), registry=Registry())

    def check(self, text: str) -> Finding:
        """Look at a whole answer; one that is a single fenced block counts as what is inside.

        Raises TooLaborious where the schema makes the check take too long.
        """
        json = bare(text)
        try:
            value = from_json(json, allow_inf_nan=False)
        except ValueError as error:
            return Finding("", (Flaw("", "json", f"it is not JSON: {error}"),))
        if self._validator is None:
            return _object_or_not(json, value)
        flaws = self._flaws(self._validator, value)
        return Finding("", flaws) if flaws else Finding(json)

    def _flaws(self, validator: Validator, value: Any) -> tuple[Flaw, ...]:
        self._effort.begin()
        try:
            return tuple(map(_flaw, islice(validator.iter_errors(value), MOST_FLAWS)))
        except (RecursionError, ArithmeticError, Unresolvable) as error:
            raise TooLaborious from error


def bare(text: str) -> str:
    """The JSON in an answer.

    >>> bare('```json\\n{"a": 1}\\n```')
    '{"a": 1}'
    """
    text = text.strip()
    opening, _, rest = text.partition("\n")
    inside, _, closing = rest.rpartition("\n")
    fence = closing.strip()
    if fence[:3] in ("```", "~~~") and len(set(fence)) == 1 and opening.startswith(fence):
        return inside.strip()
    return text


def _object_or_not(json: str, value: Any) -> Finding:
    if isinstance(value, dict):
        return Finding(json)
    return Finding("", (Flaw("", "type", "it is JSON, but not an object"),))


def _flaw(error: ValidationError) -> Flaw:
    path = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in error.absolute_path)
    keyword = str(error.validator or "false")
    message = error.message
    if len(message) > LONGEST_FLAW:
        # A message begins with the value it is about, which can be as long as the answer.
        message = f"the value does not meet {keyword}: {error.validator_value!r}"[:LONGEST_FLAW]
    return Flaw(path, keyword, f"at {path or 'the top'}: {message}")


class _Effort:
    """Counts what a check takes."""

    __slots__ = ("_clock", "_ends", "_steps")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps = 0
        self._ends = 0.0

    def begin(self) -> None:
        self._steps = MOST_STEPS
        self._ends = self._clock() + MOST_SECONDS

    def spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0 or self._clock() > self._ends:
            raise TooLaborious


def _bounded(effort: _Effort) -> Mapping[str, Keyword]:
    """Every keyword, counted; those that search for patterns or compare all with all are our own."""
    own: dict[str, Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    return {name: _counted(check, effort) for name, check in {**Draft202012Validator.VALIDATORS, **own}.items()}


def _counted(check: Keyword, effort: _Effort) -> Keyword:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        effort.spend(1 + _length(value) + _length(instance))
        return check(validator, value, instance, schema)

    return counted


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | dict) else 0


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not pattern_of(pattern)(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        matches = pattern_of(pattern)
        for name, value in instance.items():
            if matches(name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, subschema: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns = [pattern_of(pattern) for pattern in schema.get("patternProperties", ())]
    known = schema.get("properties", {})
    for name, value in instance.items():
        if name in known or any(matches(name) for matches in patterns):
            continue
        if subschema is False:
            yield ValidationError(f"the property {name!r} is not allowed")
        else:
            yield from validator.descend(value, subschema, path=name)


def _unique_items(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if unique and isinstance(instance, list) and len(set(map(_comparable, instance))) < len(instance):
        yield ValidationError("the items are not all different")


def _comparable(value: Any) -> Any:
    """Equal for equal JSON values: 1 and 1.0 are, 1 and true are not."""
    match value:
        case bool():
            return ("boolean", value)
        case list():
            return tuple(map(_comparable, value))
        case dict():
            return frozenset((name, _comparable(item)) for name, item in value.items())
        case _:
            return value
