"""Check a caller's JSON Schema, so that validating an answer against it takes bounded time and loads nothing.

The keywords are those of draft 2020-12, except the few that change what a reference means or require a search over all
evaluated locations. References must stay inside the schema. Patterns must be valid for a linear-time regex engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from math import inf
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote

from .patterns import MAX_PATTERN_LENGTH, MAX_PATTERNS, MAX_TOTAL_PATTERN_SIZE, compile_pattern

MAX_SUBSCHEMAS = 5_000
"""Subschemas of a schema, including the schema itself."""

MAX_REFERENCE_LENGTH = 1_000
"""Characters of a `$ref`, `$id` or `$schema`. The libraries that resolve references keep some of them."""

UNSUPPORTED_KEYWORDS = frozenset(
    (
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"),
        *("unevaluatedItems", "unevaluatedProperties"),
    )
)

TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))


class SchemaProblem(NamedTuple):
    """A location in a schema, as a JSON pointer, and what is wrong there."""

    pointer: str
    description: str


def find_schema_problem(schema: Any) -> SchemaProblem | None:
    """Return the first problem of a schema, None if it is valid. The caller must have checked its depth."""
    return next(_SchemaChecker(schema).problems(), None)


class _SchemaChecker:
    """Walk one schema, its subschemas, and what its references point to, each once."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._pending: list[tuple[str, Any]] = [("", root)]
        self._targets: list[tuple[str, Any]] = []
        self._seen: set[int] = set()
        self._schemas = 0
        self._patterns = 0
        self._total_pattern_size = 0

    def problems(self) -> Iterator[SchemaProblem]:
        # Targets of references come last: few are below a keyword without subschemas, and so not seen before.
        while self._pending or self._targets:
            pointer, schema = (self._pending or self._targets).pop()
            if id(schema) in self._seen:
                continue
            self._schemas += 1
            if self._schemas > MAX_SUBSCHEMAS:
                yield SchemaProblem("", f"must have at most {MAX_SUBSCHEMAS} subschemas")
                return
            if isinstance(schema, bool):
                continue
            if not isinstance(schema, dict):
                yield SchemaProblem(pointer, "must be a schema: a JSON object, true or false")
                return
            self._seen.add(id(schema))
            for keyword, value in schema.items():
                if keyword in KEYWORDS or keyword in UNSUPPORTED_KEYWORDS:
                    yield from self._check_keyword(f"{pointer}/{keyword}", pointer, keyword, value)

    def _check_keyword(self, location: str, pointer: str, keyword: str, value: Any) -> Iterator[SchemaProblem]:
        if keyword in UNSUPPORTED_KEYWORDS or (keyword == "$id" and pointer):
            yield SchemaProblem(location, "is an unsupported keyword")
            return
        is_valid, description = KEYWORDS[keyword]
        if not is_valid(value):
            yield SchemaProblem(location, f"must be {description}")
        elif keyword in REFERENCE_KEYWORDS:
            yield from self._check_reference(location, keyword, value)
        elif keyword == "pattern":
            yield from self._check_pattern(location, value)
        else:
            if keyword == "patternProperties":
                for text in value:
                    yield from self._check_pattern(location, text)
            self._pending += _subschemas(location, keyword, value)

    def _check_reference(self, location: str, keyword: str, value: str) -> Iterator[SchemaProblem]:
        if len(value) > MAX_REFERENCE_LENGTH:
            yield SchemaProblem(location, f"must have at most {MAX_REFERENCE_LENGTH} characters, got {len(value)}")
        elif keyword == "$ref":
            found = resolve_reference(self._root, value)
            if isinstance(found, dict):
                self._targets.append((location, found))
            elif not isinstance(found, bool):
                yield SchemaProblem(location, "must point to a schema inside this document, such as '#/$defs/item'")

    def _check_pattern(self, location: str, text: str) -> Iterator[SchemaProblem]:
        self._patterns += 1
        if self._patterns > MAX_PATTERNS:
            yield SchemaProblem(location, f"exceeds the limit of {MAX_PATTERNS} patterns in a schema")
        elif len(text) > MAX_PATTERN_LENGTH:
            description = f"must have patterns of at most {MAX_PATTERN_LENGTH} characters, got {len(text)}"
            yield SchemaProblem(location, description)
        else:
            try:
                self._total_pattern_size += compile_pattern(text).size.states
            except ValueError as error:
                yield SchemaProblem(location, str(error))
        if self._total_pattern_size > MAX_TOTAL_PATTERN_SIZE:
            yield SchemaProblem(
                location,
                f"exceeds the limit of all patterns in a schema together: at most {MAX_TOTAL_PATTERN_SIZE} states "
                f"when compiled, estimated {self._total_pattern_size}",
            )


def _subschemas(location: str, keyword: str, value: Any) -> list[tuple[str, Any]]:
    if keyword in SCHEMA_KEYWORDS:
        return [(location, value)]
    if keyword in SCHEMA_LIST_KEYWORDS and isinstance(value, list):
        return [(f"{location}/{index}", item) for index, item in enumerate(value)]
    if keyword in SCHEMA_MAP_KEYWORDS and isinstance(value, dict):
        return [(f"{location}/{name}", item) for name, item in value.items()]
    return []


def resolve_reference(root: Any, reference: str) -> Any:
    """Return the value a reference points to inside `root`; None if it points nowhere or outside.

    >>> resolve_reference({"$defs": {"a/b": {"type": "null"}}}, "#/$defs/a~1b")
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
        elif isinstance(found, list) and LIST_INDEX.fullmatch(name) and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and 0 <= value < inf and value == int(value)


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_string_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_string, value))


def _is_type(value: Any) -> bool:
    types = value if isinstance(value, list) and value else [value]
    return all(isinstance(name, str) and name in TYPES for name in types)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_non_empty_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


LIST_INDEX = re.compile(r"[0-9]{1,9}")

REFERENCE_KEYWORDS = frozenset(("$ref", "$id", "$schema"))

SCHEMA_KEYWORDS = frozenset(
    ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "contentSchema")
)
SCHEMA_LIST_KEYWORDS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
SCHEMA_MAP_KEYWORDS = frozenset(("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"))

KEYWORDS: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType(
    {
        **dict.fromkeys(SCHEMA_KEYWORDS, (_is_schema, "a schema (use prefixItems for a list of schemas)")),
        **dict.fromkeys(SCHEMA_LIST_KEYWORDS, (_is_non_empty_list, "a non-empty list of schemas")),
        **dict.fromkeys(SCHEMA_MAP_KEYWORDS, (_is_object, "an object whose values are schemas")),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (_is_number, "a number")),
        "multipleOf": (lambda value: _is_number(value) and value > 0, "a number greater than 0"),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), (_is_count, "a non-negative integer")),
        **dict.fromkeys(("minProperties", "maxProperties"), (_is_count, "a non-negative integer")),
        **dict.fromkeys(("minContains", "maxContains"), (_is_count, "a non-negative integer")),
        "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
        "enum": (lambda value: isinstance(value, list), "a list"),
        "type": (_is_type, f"one or more of {', '.join(sorted(TYPES))}"),
        "required": (_is_string_list, "a list of strings"),
        "dependentRequired": (
            lambda value: _is_object(value) and all(map(_is_string_list, value.values())),
            "an object whose values are lists of strings",
        ),
        **dict.fromkeys(("$ref", "pattern", "$id", "$schema"), (_is_string, "a string")),
    }
)
"""Required type of each keyword that the validation of answers relies on, with its description."""
