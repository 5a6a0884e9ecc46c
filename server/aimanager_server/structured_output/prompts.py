"""Prompts that request JSON output, natively or in the system instruction, and that request a repair."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from ..core.content import JsonObjectFormat, JsonSchemaFormat, Message, Role, Text
from ..core.request import Attempt, Repair

JSON_ONLY = "Answer with JSON and nothing else: no words before or after it, and no code fence around it."

MATCH_SCHEMA = "The JSON has to match this JSON Schema:"

JSON_OBJECT = "The JSON is an object."

REPAIR = (
    "That answer cannot be used: {violations}.\nGive the whole answer again, without these mistakes, as JSON alone."
)


def format_prompts(attempt: Attempt[Any]) -> tuple[Attempt[Any], ...]:
    """Return the attempt in each way to request its output format, the preferred one first.

    A provider rejects an unsupported way before it sends the request. The ways for a schema are: natively; as a JSON
    object with the schema in the system instruction; in the system instruction alone. A strict schema is only requested
    natively.
    """
    output_format = attempt.output_format
    if isinstance(output_format, JsonSchemaFormat):
        if output_format.strict:
            return (attempt,)
        instructed = _add_instruction(attempt, f"{JSON_ONLY} {MATCH_SCHEMA}\n{output_format.schema_json}")
        native = () if attempt.target.emulates_format else (attempt,)
        accepts_objects = _accepts_objects(from_json(output_format.schema_json))
        json_mode = (replace(instructed, output_format=JsonObjectFormat()),) if accepts_objects else ()
        return (*native, *json_mode, replace(instructed, output_format=None))
    instructed = _add_instruction(attempt, f"{JSON_ONLY} {JSON_OBJECT}")
    # Providers with a JSON mode reject requests that do not mention JSON.
    mentions_json = "json" in _last_message_text(attempt).lower()
    return attempt if mentions_json else instructed, replace(instructed, output_format=None)


def repair_prompt(attempt: Attempt[Any], repair: Repair) -> Attempt[Any]:
    """Return the attempt with what was sent, extended by the invalid answer and a message that lists its violations."""
    request = Message(Role.USER, (Text(REPAIR.format(violations="; ".join(repair.violations))),))
    has_text = any(isinstance(part, Text) and part.text.strip() for part in repair.answer.parts)
    answer = (repair.answer,) if has_text else ()
    return replace(
        attempt,
        messages=(*repair.attempt.messages, *answer, request),
        system_instruction=repair.attempt.system_instruction,
        output_format=repair.attempt.output_format,
    )


def _add_instruction(attempt: Attempt[Any], instruction: str) -> Attempt[Any]:
    existing = f"{attempt.system_instruction}\n\n" if attempt.system_instruction else ""
    return replace(attempt, system_instruction=existing + instruction)


def _last_message_text(attempt: Attempt[Any]) -> str:
    return " ".join(part.text for part in attempt.messages[-1].parts if isinstance(part, Text))


def _accepts_objects(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type", "object") == "object"
