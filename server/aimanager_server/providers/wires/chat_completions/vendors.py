"""OpenAI's own server of the chat-completions wire."""

from __future__ import annotations

import re

from ....config.providers import ProviderSettings
from ....config.settings import Limits
from . import ChatCompletions, Quirks

# https://platform.openai.com/docs/api-reference/chat/create, read 2026-11-22: the o-series and GPT-5 and later take
# instructions as developer, and refuse max_tokens; the models before them take max_completion_tokens as well.
REASONING = Quirks(system_role="developer", limit_field="max_completion_tokens", schemas="strict")
CLASSIC = Quirks(system_role="system", limit_field="max_completion_tokens", effort_words={}, schemas="strict")

CLASSIC_MODEL = re.compile(r"(?:ft:)?(?:gpt-[1-4](?!\d)|chatgpt-4o)")


def quirks_of(model: str) -> Quirks:
    """The row for a model; a name not known is taken for a new one.

    >>> [quirks_of(model).system_role for model in ("gpt-4o-mini", "ft:gpt-4.1:org", "o3", "gpt-6.2-sol")]
    ['system', 'system', 'developer', 'developer']
    """
    return CLASSIC if CLASSIC_MODEL.match(model) else REASONING


def openai(settings: ProviderSettings, limits: Limits) -> ChatCompletions:
    """The dialect of api.openai.com."""
    return ChatCompletions(settings, limits, quirks_of)
