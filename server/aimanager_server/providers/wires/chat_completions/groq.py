"""Groq's server of the chat-completions wire."""

from __future__ import annotations

from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.content import Effort
from . import ChatCompletions, Quirks

# https://console.groq.com/docs/reasoning, read 2026-11-22: gpt-oss has three depths and cannot be kept from thinking;
# Qwen thinks or does not, and writes its thoughts into the text unless they are asked for apart.
GPT_OSS = Quirks(
    limit_field="max_completion_tokens",
    effort_words={
        Effort.MINIMAL: "low",
        Effort.LOW: "low",
        Effort.MEDIUM: "medium",
        Effort.HIGH: "high",
        Effort.XHIGH: "high",
        Effort.MAX: "high",
    },
)
QWEN = Quirks(
    limit_field="max_completion_tokens",
    effort_words={effort: "none" if effort is Effort.NONE else "default" for effort in Effort},
    fields={"reasoning_format": "parsed"},
)
OTHER = Quirks(limit_field="max_completion_tokens", effort_words={})


def quirks_of(model: str) -> Quirks:
    """The row for a model; one of neither family is told nothing of reasoning."""
    if model.startswith("qwen/"):
        return QWEN
    return GPT_OSS if model.startswith("openai/gpt-oss") else OTHER


def groq(settings: ProviderSettings, limits: Limits) -> ChatCompletions:
    """The dialect of api.groq.com."""
    return ChatCompletions(settings, limits, quirks_of)
