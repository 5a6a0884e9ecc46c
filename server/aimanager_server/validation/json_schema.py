"""Check a caller's JSON Schema, so that validating an answer against it takes bounded time and loads nothing.

The keywords are those of draft 2020-12, except the few that change what a reference means or require a search over all
evaluated locations. References must stay inside the schema. Patterns must be valid for a linear-time regex engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote

from pydantic_core import SchemaError as InvalidPattern
from pydantic_core import SchemaValidator, core_schema

MAX_SUBSCHEMAS = 5_000
"""Subschemas of a schema, including the schema itself."""

MAX_PATTERNS = 100
"""Patterns of a schema. A compiled pattern can take megabytes."""

MAX_PATTERN_LENGTH = 1_000

UNSUPPORTED_KEYWORDS = frozenset(
    (
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"),
        *("unevaluatedItems", "unevaluatedProperties"),
    )
)

TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))

Pattern = Callable[[Any], bool]
"""Returns whether a string contains a match."""


class SchemaProblem(NamedTuple):
    """A location in a schema, as a JSON pointer, and what is wrong there."""

    pointer: str
    description: str


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """Compile a pattern of the `regex` crate, which matches in linear time. Raises ValueError for an invalid pattern.

    >>> compile_pattern("^a+$")("aaa"), compile_pattern("^a+$")("b")
    (True, False)
    """
    try:
        return SchemaValidator(core_schema.str_schema(pattern=text, regex_engine="rust-regex")).isinstance_python
    except InvalidPattern as error:
        raise ValueError(
            "must be a valid regular expression without look-around or back-references, and not too large"
        ) from error


def find_schema_problem(schema: Any) -> SchemaProblem | None:
    """Return the first problem of a schema, None if it is valid. The caller must have checked its depth."""
    return next(_SchemaChecker(schema).problems(), None)


class _SchemaChecker:
    """Walk one schema and its subschemas without following references."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._schemas = 0
        self._patterns = 0

    def problems(self) -> Iterator[SchemaProblem]:
        pending: list[tuple[str, Any]] = [("", self._root)]
        while pending:
            pointer, schema = pending.pop()
            self._schemas += 1
            if self._schemas > MAX_SUBSCHEMAS:
                yield SchemaProblem("", f"must have at most {MAX_SUBSCHEMAS} subschemas")
                return
            if isinstance(schema, bool):
                continue
            if not isinstance(schema, dict):
                yield SchemaProblem(pointer, "must be a schema: a JSON object, true or false")
                return
            for keyword, value in schema.items():
                location = f"{pointer}/{keyword}"
                yield from self._check_keyword(location, pointer, keyword, value)
                pending += _subschemas(location, keyword, value)

    def _check_keyword(self, location: str, pointer: str, keyword: str, value: Any) -> Iterator[SchemaProblem]:
        rule = KEYWORDS.get(keyword)
        if keyword in UNSUPPORTED_KEYWORDS or (keyword == "$id" and pointer):
            yield SchemaProblem(location, "is an unsupported keyword")
        elif rule is not None and not rule[0](value):
            yield SchemaProblem(location, f"must be {rule[1]}")
        elif keyword == "$ref" and not isinstance(resolve_reference(self._root, value), dict | bool):
            yield SchemaProblem(location, "must point to a schema inside this document, such as '#/$defs/item'")
        elif keyword == "pattern":
            yield from self._check_pattern(location, value)
        elif keyword == "patternProperties":
            for text in value:
                yield from self._check_pattern(location, text)

    def _check_pattern(self, location: str, text: str) -> Iterator[SchemaProblem]:
        self._patterns += 1
        if self._patterns > MAX_PATTERNS:
            yield SchemaProblem(location, f"exceeds the limit of {MAX_PATTERNS} patterns in a schema")
        elif len(text) > MAX_PATTERN_LENGTH:
            description = f"must have patterns of at most {MAX_PATTERN_LENGTH} characters, got {len(text)}"
            yield SchemaProblem(location, description)
        else:
            try:
                compile_pattern(text)
            except ValueError as error:
                yield SchemaProblem(location, str(error))


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
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


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
