"""Words a question so that its answer has the shape that was asked for, natively or in the instruction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from ..core.content import JsonObjectFormat, JsonSchemaFormat, Message, Role, Text
from ..core.request import Call
from .validator import Flaw

ALONE = "Answer with JSON and nothing else: no words before or after it, and no code fence around it."

MATCHING = "The JSON has to match this JSON Schema:"

OBJECT = "The JSON is an object."

REPAIR = "That answer cannot be used: {flaws}.\nGive the whole answer again, without these mistakes, as JSON alone."


def wordings(call: Call) -> tuple[Call, ...]:
    """The ways to ask, the best first; a provider that cannot be asked in one of them refuses it before it is sent.

    A schema is asked for natively, then as any JSON object with the schema in the instruction, then by the instruction
    alone. One that the provider has to promise is asked for natively or not at all.
    """
    wanted = call.output_format
    if isinstance(wanted, JsonSchemaFormat):
        if wanted.strict:
            return (call,)
        told = _told(call, f"{ALONE} {MATCHING}\n{wanted.schema_json}")
        native = () if call.target.emulates_format else (call,)
        by_mode = (
            (replace(told, output_format=JsonObjectFormat()),) if _is_of_objects(from_json(wanted.schema_json)) else ()
        )
        return (*native, *by_mode, replace(told, output_format=None))
    told = _told(call, f"{ALONE} {OBJECT}")
    # Providers with a JSON mode refuse it where nobody speaks of JSON.
    spoken = call if "json" in _last_words(call).lower() else told
    return spoken, replace(told, output_format=None)


def repairing(asked: Call, answer: Message, flaws: Iterable[Flaw]) -> Call:
    """The same question, the answer that cannot be used, and what is wrong with it."""
    words = "; ".join(flaw.words for flaw in flaws)
    complaint = Message(Role.USER, (Text(REPAIR.format(flaws=words)),))
    said = (answer,) if any(isinstance(part, Text) and part.text.strip() for part in answer.parts) else ()
    return replace(asked, messages=(*asked.messages, *said, complaint))


def _told(call: Call, instruction: str) -> Call:
    before = f"{call.system_instruction}\n\n" if call.system_instruction else ""
    return replace(call, system_instruction=before + instruction)


def _last_words(call: Call) -> str:
    return " ".join(part.text for part in call.messages[-1].parts if isinstance(part, Text))


def _is_of_objects(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type", "object") == "object"
