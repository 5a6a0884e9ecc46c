"""What differs among servers of the chat-completions wire, as a row of facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ....core.content import Effort

ALL_EFFORTS: Mapping[Effort, str] = MappingProxyType({effort: effort.label for effort in Effort})


@dataclass(frozen=True, slots=True)
class Quirks:
    """One row. The defaults are what an unknown server most probably takes.

    `system_role` speaks the instructions. `limit_field` names the limit of the answer. `effort_words` spells
    `reasoning_effort`; a level that is not in it is not sent. `thinking_switch`: reasoning is turned on and off by a
    `thinking` object beside the effort. `reasoning_field`: where reasoning is sent back on assistant turns, empty
    where it is not; `reasoning_in_content`: as a thinking item of their content instead. `stream_usage`: usage is asked
    for on streams. `strict_tools`: tools may be marked strict. `seed_field` and `required_word` are what the server
    calls the seed and a forced call. `call_id_length`: ids of tool calls have exactly so many letters and digits, 0
    where any will do. `schemas`: whether it answers in the shape of a schema: under OpenAI's rules for `strict` ones,
    as the schema is ("plain"), never but with a JSON mode ("object"), or not at all. `user_after_tool`: a user turn may
    follow results of tools directly. `fields` go with every request.
    """

    system_role: Literal["system", "developer"] = "system"
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    effort_words: Mapping[Effort, str] = field(default_factory=lambda: ALL_EFFORTS)
    thinking_switch: bool = False
    reasoning_field: str = ""
    stream_usage: bool = True
    strict_tools: bool = True
    schemas: Literal["strict", "plain", "object", "none"] = "none"
    reasoning_in_content: bool = False
    seed_field: Literal["seed", "random_seed"] = "seed"
    required_word: Literal["required", "any"] = "required"
    call_id_length: int = 0
    user_after_tool: bool = True
    fields: Mapping[str, Any] = field(default_factory=dict)
