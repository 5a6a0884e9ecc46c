"""Mark prompts for OpenAI's prompt cache, on both of its APIs.

A model that bills writes to the cache makes one after the newest message unless the request says that it chooses the
places itself: https://developers.openai.com/api/docs/guides/prompt-caching, read 2026-11-27.
"""

from __future__ import annotations

from typing import Any

from ...catalog.model import Model
from ...core.content import CacheHint, Role
from ...core.request import Attempt
from .prompt_markers import MarkedPrompt, Markers, mark_prompt, without_markers
from .setting_changes import SettingChanges

Json = dict[str, Any]

EXPLICIT: Json = {"prompt_cache_options": {"mode": "explicit"}}


def mark_openai_prompt(
    attempt: Attempt[Any], model: Model | None, markers: Markers, changes: SettingChanges, *, is_on: bool
) -> tuple[MarkedPrompt, Json]:
    """Return what to mark, and the fields that say so, empty if the provider is to decide.

    A request with a single turn repeats nothing, so it writes nothing. One with more turns but without a conversation
    may be continued by the caller, which the provider's own choice suits best.
    """
    spec = model.prompt_cache if model is not None else None
    if not is_on or spec is None or not spec.breakpoints:
        return without_markers(attempt, spec, changes, is_on=is_on), {}
    prompt = mark_prompt(attempt, spec, markers, changes)
    has_answers = any(message.role is Role.ASSISTANT for message in attempt.messages)
    return prompt, EXPLICIT if prompt.is_repeated or not has_answers else {}


def breakpoint_field(hint: CacheHint | None) -> Json:
    """Return the field of a part of content at whose end a cached prefix ends; none without a hint.

    >>> breakpoint_field(CacheHint.SHORT)
    {'prompt_cache_breakpoint': {'mode': 'explicit'}}
    """
    if hint is None:
        return {}
    marker = {"mode": "explicit", "ttl": "12h"} if hint is CacheHint.LONG else {"mode": "explicit"}
    return {"prompt_cache_breakpoint": marker}
