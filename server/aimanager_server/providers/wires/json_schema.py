"""Writes a caller's JSON Schema under the rules of providers that promise one, or says why it cannot be.

What is written admits only answers that the caller's schema admits: objects are closed, which takes nothing a caller
asked for away, and a property that may be null is always written out. Where only a rewrite with another meaning would
do, the schema is not promised at all, and the gateway asks in words and checks instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from ...core.content import JsonSchemaFormat
from ...core.errors import CapabilityUnsupported, FieldViolation

Schema = Mapping[str, Any]

KEPT_NOTES = ("title", "description")

NOTES = frozenset(
    ("$comment", "$id", "$schema", "default", "deprecated", "discriminator", "examples", "readOnly", "writeOnly")
) | frozenset(KEPT_NOTES)
"""Keywords that say nothing of what is valid. Providers refuse most of them, so few go along."""

SHAPING = frozenset(
    ("type", "properties", "required", "additionalProperties", "items", "enum", "const", "format", "anyOf", "allOf")
) | frozenset(("$ref", "$defs", "definitions"))

DEFINITIONS = ("$defs", "definitions")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a provider takes: `more` keywords beside those that shape, and `formats`; others are dropped as mere notes.

    `all_required`: every property has to be there. `recursive`: a schema may contain itself. `several_all`: allOf may
    join several. `object_root`: the whole has to be an object. `deepest` is how far objects and lists may be nested.
    """

    more: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    all_required: bool = False
    recursive: bool = True
    several_all: bool = False
    object_root: bool = False
    deepest: int | None = None


# https://platform.claude.com/docs/en/build-with-claude/structured-outputs, read 2026-11-22.
CLAUDE = Rules(
    formats=frozenset(
        ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
    ),
    recursive=False,
    several_all=True,
)

# https://platform.openai.com/docs/guides/structured-outputs, read 2026-11-22.
OPENAI = Rules(
    more=frozenset(
        (
            *("pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
            *("minItems", "maxItems"),
        )
    ),
    formats=frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")),
    all_required=True,
    object_root=True,
    deepest=10,
)


class NotExpressible(ValueError):
    """The rules leave no way to say the same; the message says what stands against it."""


def promised(wanted: JsonSchemaFormat, rules: Rules) -> dict[str, Any]:
    """The schema to send. Raises CapabilityUnsupported on the field where the provider could not promise it."""
    try:
        return expressed(from_json(wanted.schema_json), rules)
    except (NotExpressible, RecursionError) as error:
        field = FieldViolation("output_format.json_schema.schema_json", f"cannot be promised by the provider: {error}")
        raise CapabilityUnsupported(
            f"{field.field} {field.description}.",
            solution="Change the schema, or leave strict out: then the gateway checks the answer itself.",
            violations=(field,),
        ) from error


def refused_format(what: str) -> CapabilityUnsupported:
    """The fault of a wire that cannot be asked for an output format natively.

    >>> refused_format("schemas").fields[0].field
    'output_format'
    """
    return CapabilityUnsupported(
        f"The provider cannot be asked for {what}.",
        violations=(FieldViolation("output_format", f"the provider cannot be asked for {what}"),),
    )


def expressed(schema: Schema, rules: Rules) -> dict[str, Any]:
    """The schema under the rules. Raises NotExpressible.

    >>> expressed({"properties": {"a": {"type": "string"}}, "required": ["a"]}, CLAUDE)
    {'type': 'object', 'properties': {'a': {'type': 'string'}}, 'required': ['a'], 'additionalProperties': False}
    """
    if not rules.recursive:
        _refuse_recursion(schema)
    root = _definition(schema, schema["$ref"]) if "$ref" in schema else None
    if isinstance(root, dict):
        schema = {**root, **{name: schema[name] for name in DEFINITIONS if name in schema}}
    if rules.object_root and (schema.get("type", "object") != "object" or "anyOf" in schema):
        raise NotExpressible("the whole has to be an object")
    return _Writer(schema, rules).written(schema, 1)


class _Writer:
    def __init__(self, root: Schema, rules: Rules) -> None:
        self._root = root
        self._rules = rules

    def written(self, schema: Any, depth: int) -> dict[str, Any]:
        if not isinstance(schema, dict) or not schema.keys() - NOTES - set(DEFINITIONS):
            raise NotExpressible("a value of any kind is admitted somewhere")
        if self._rules.deepest is not None and depth > self._rules.deepest:
            raise NotExpressible(f"it is nested deeper than {self._rules.deepest} levels")
        self._refuse_unknown(schema)
        if "$ref" in schema:
            return {"$ref": schema["$ref"], **self._definitions(schema, depth)}
        if len(schema.get("allOf", ())) == 1 and not schema.keys() - NOTES - {"allOf"}:
            return {**self.written(schema["allOf"][0], depth), **_notes(schema)}
        result = {**_notes(schema), **self._plain(schema)}
        if "properties" in schema or "object" in _kinds(schema):
            result |= self._object(schema, depth)
        if "items" in schema or "array" in _kinds(schema):
            result["items"] = self.written(schema.get("items"), depth + 1)
        for keyword in ("anyOf", "allOf"):
            if keyword in schema:
                result[keyword] = self._several(keyword, schema[keyword], depth)
        return {**result, **self._definitions(schema, depth)}

    def _refuse_unknown(self, schema: Schema) -> None:
        beside = schema.keys() - NOTES - SHAPING - self._rules.more
        if "$ref" in schema:
            beside = schema.keys() - NOTES - {"$ref", *DEFINITIONS}
        if beside:
            raise NotExpressible(f"{min(beside)!r} is not supported")

    def _plain(self, schema: Schema) -> dict[str, Any]:
        names = ("type", "enum", "const", *sorted(self._rules.more))
        plain = {name: schema[name] for name in names if name in schema}
        if schema.get("format") in self._rules.formats:
            plain["format"] = schema["format"]
        return plain

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False
        if not closed and ("additionalProperties" in schema or not properties):
            raise NotExpressible("an object with properties of any name is admitted")
        required = list(schema.get("required", ()))
        if self._rules.all_required:
            required += self._missing(properties, required)
        return {
            "type": schema.get("type", "object"),
            "properties": {name: self.written(value, depth + 1) for name, value in properties.items()},
            "required": required,
            "additionalProperties": False,
        }

    def _missing(self, properties: Schema, required: list[str]) -> Iterator[str]:
        for name, value in properties.items():
            if name in required:
                continue
            if not self._admits_null(value):
                raise NotExpressible(f"the property {name[:64]!r} may be left out, but not be null")
            yield name

    def _admits_null(self, schema: Any, hops: int = 8) -> bool:
        if not isinstance(schema, dict) or not hops:
            return False
        if "$ref" in schema:
            return self._admits_null(_definition(self._root, schema["$ref"]), hops - 1)
        if "null" in _kinds(schema) or None in schema.get("enum", ()):
            return True
        return any(self._admits_null(one, hops - 1) for one in schema.get("anyOf", ()))

    def _several(self, keyword: str, schemas: list[Any], depth: int) -> list[dict[str, Any]]:
        if keyword == "allOf" and (not self._rules.several_all or any("$ref" in one for one in schemas)):
            raise NotExpressible("'allOf' is not supported here")
        return [self.written(one, depth) for one in schemas]

    def _definitions(self, schema: Schema, depth: int) -> dict[str, Any]:
        return {
            name: {key: self.written(value, depth) for key, value in schema[name].items()}
            for name in DEFINITIONS
            if name in schema
        }


def _notes(schema: Schema) -> dict[str, Any]:
    return {name: schema[name] for name in KEPT_NOTES if name in schema}


def _kinds(schema: Schema) -> list[str]:
    kinds = schema.get("type", [])
    return kinds if isinstance(kinds, list) else [kinds]


def _definition(root: Schema, reference: str) -> Any:
    """What a reference means where it names a definition; None for any other."""
    start, _, name = reference.removeprefix("#/").partition("/")
    found = root.get(start, {}) if start in DEFINITIONS else {}
    return found.get(name.replace("~1", "/").replace("~0", "~"))


def _refuse_recursion(root: Schema) -> None:
    """Colours definitions while it follows their references; one met again on the way there contains itself."""
    done: set[str] = set()

    def follow(schema: Any, inside: tuple[str, ...]) -> None:
        for reference in _references(schema):
            found = _definition(root, reference)
            if reference in inside or found is None:
                raise NotExpressible(f"the reference {reference[:64]!r} makes it contain itself")
            if reference not in done:
                follow(found, (*inside, reference))
                done.add(reference)

    follow({name: value for name, value in root.items() if name not in DEFINITIONS}, ())


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
