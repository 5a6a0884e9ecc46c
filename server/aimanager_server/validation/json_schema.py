"""Says what a caller's JSON Schema may hold, so that checking an answer against it is bounded and never leaves home.

The keywords are those of draft 2020-12. Left out are the few that change what a reference means or that need a search
over all that was tried. References stay inside the schema, and patterns are those of a matcher that takes linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from pydantic_core import SchemaError, SchemaValidator, core_schema

MOST_SCHEMAS = 5_000
"""Schemas in a schema, itself included."""

MOST_PATTERNS = 100
"""Patterns in a schema; each can take megabytes once compiled."""

LONGEST_PATTERN = 1_000

REFUSED = frozenset(
    (
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"),
        *("unevaluatedItems", "unevaluatedProperties"),
    )
)

TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))

Pattern = Callable[[Any], bool]
"""Whether a text holds a match."""

Problem = tuple[str, str]
"""Where in the schema, as a JSON pointer, and what is wrong there."""


@lru_cache(maxsize=256)
def pattern_of(text: str) -> Pattern:
    """The matcher of a pattern, of the `regex` crate. Raises ValueError for one it does not take.

    >>> pattern_of("^a+$")("aaa"), pattern_of("^a+$")("b")
    (True, False)
    """
    try:
        return SchemaValidator(core_schema.str_schema(pattern=text, regex_engine="rust-regex")).isinstance_python
    except SchemaError as error:
        raise ValueError("is no regular expression, too large, or has look-around or a back-reference") from error


def problem_of(schema: Any) -> Problem | None:
    """The first thing that is wrong with a schema, None where it can be used. Its depth is the caller's to bound."""
    return next(_Rules(schema).problems(), None)


class _Rules:
    """Walks one schema, without following references."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._schemas = 0
        self._patterns = 0

    def problems(self) -> Iterator[Problem]:
        waiting: list[tuple[str, Any]] = [("", self._root)]
        while waiting:
            place, schema = waiting.pop()
            self._schemas += 1
            if self._schemas > MOST_SCHEMAS:
                yield "", f"holds more than {MOST_SCHEMAS} schemas"
                return
            if isinstance(schema, bool):
                continue
            if not isinstance(schema, dict):
                yield place, "is no schema: a JSON object, true or false is accepted"
                return
            for keyword, value in schema.items():
                where = f"{place}/{keyword}"
                yield from self._keyword(where, place, keyword, value)
                waiting += _children(where, keyword, value)

    def _keyword(self, where: str, place: str, keyword: str, value: Any) -> Iterator[Problem]:
        takes = KEYWORDS.get(keyword)
        if keyword in REFUSED or (keyword == "$id" and place):
            yield where, "is a keyword that is not supported"
        elif takes is not None and not takes[0](value):
            yield where, f"is not {takes[1]}"
        elif keyword == "$ref" and not _leads_somewhere(self._root, value):
            yield where, "leads nowhere inside the schema; accepted is a pointer such as '#/$defs/item'"
        elif keyword == "pattern":
            yield from self._pattern(where, value)
        elif keyword == "patternProperties":
            for text in value:
                yield from self._pattern(where, text)

    def _pattern(self, where: str, text: str) -> Iterator[Problem]:
        self._patterns += 1
        if self._patterns > MOST_PATTERNS or len(text) > LONGEST_PATTERN:
            yield where, f"at most {MOST_PATTERNS} patterns of {LONGEST_PATTERN} characters are taken"
            return
        try:
            pattern_of(text)
        except ValueError as error:
            yield where, str(error)


def _children(where: str, keyword: str, value: Any) -> list[tuple[str, Any]]:
    if keyword in ONE:
        return [(where, value)]
    if keyword in SEVERAL and isinstance(value, list):
        return [(f"{where}/{index}", item) for index, item in enumerate(value)]
    if keyword in NAMED and isinstance(value, dict):
        return [(f"{where}/{name}", item) for name, item in value.items()]
    return []


def _leads_somewhere(root: Any, reference: str) -> bool:
    return isinstance(target(root, reference), dict | bool)


def target(root: Any, reference: str) -> Any:
    """What a reference points to inside `root`; None where that is nothing, or elsewhere.

    >>> target({"$defs": {"a/b": {"type": "null"}}}, "#/$defs/a~1b")
    {'type': 'null'}
    """
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    found = root
    for step in reference[2:].split("/"):
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_type(value: Any) -> bool:
    kinds = value if isinstance(value, list) and value else [value]
    return all(isinstance(kind, str) and kind in TYPES for kind in kinds)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


ONE = frozenset(
    ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "contentSchema")
)
SEVERAL = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
NAMED = frozenset(("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"))

KEYWORDS: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType(
    {
        **dict.fromkeys(ONE, (_is_schema, "a schema (a list of them belongs in prefixItems)")),
        **dict.fromkeys(SEVERAL, (_are_schemas, "a list of schemas")),
        **dict.fromkeys(NAMED, (_is_object, "an object of schemas")),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (_is_number, "a number")),
        "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above 0"),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), (_is_count, "a whole number from 0 on")),
        **dict.fromkeys(("minProperties", "maxProperties"), (_is_count, "a whole number from 0 on")),
        **dict.fromkeys(("minContains", "maxContains"), (_is_count, "a whole number from 0 on")),
        "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
        "enum": (lambda value: isinstance(value, list), "a list"),
        "type": (_is_type, f"one or more of {', '.join(sorted(TYPES))}"),
        "required": (_are_texts, "a list of names"),
        "dependentRequired": (
            lambda value: _is_object(value) and all(map(_are_texts, value.values())),
            "an object of lists of names",
        ),
        **dict.fromkeys(("$ref", "pattern", "$id", "$schema"), (_is_text, "a text")),
    }
)
"""What a keyword has to be where the check relies on it, and how that is said."""
