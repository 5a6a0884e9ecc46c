"""DeepSeek's server of the chat-completions wire."""

from __future__ import annotations

from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.content import Effort
from . import ChatCompletions, Quirks

# https://api-docs.deepseek.com/guides/thinking_mode and .../api/create-chat-completion, read 2026-11-22: thinking is
# on unless it is disabled, and has three depths; an assistant turn that carried reasoning_content must carry it again
# once tools were used; strict tools exist on the beta address only. It has a JSON mode and no schemas.
QUIRKS = Quirks(
    system_role="system",
    limit_field="max_tokens",
    effort_words={
        Effort.MINIMAL: "low",
        Effort.LOW: "low",
        Effort.MEDIUM: "high",
        Effort.HIGH: "high",
        Effort.XHIGH: "max",
        Effort.MAX: "max",
    },
    thinking_switch=True,
    reasoning_field="reasoning_content",
    strict_tools=False,
    schemas="object",
)


def deepseek(settings: ProviderSettings, limits: Limits) -> ChatCompletions:
    """The dialect of api.deepseek.com."""
    return ChatCompletions(settings, limits, lambda model: QUIRKS)
