"""xAI's server of the chat-completions wire."""

from __future__ import annotations

from ....config.providers import ProviderSettings
from ....config.settings import Limits
from . import ChatCompletions, Quirks

# https://docs.x.ai/docs/api-reference, read 2026-11-22: reasoning comes as reasoning_content, its tokens are counted
# beside those of the completion. That reasoning models refuse stop sequences is a fact of the catalogue.
QUIRKS = Quirks(limit_field="max_completion_tokens", schemas="plain")


def xai(settings: ProviderSettings, limits: Limits) -> ChatCompletions:
    """The dialect of api.x.ai."""
    return ChatCompletions(settings, limits, lambda model: QUIRKS)
