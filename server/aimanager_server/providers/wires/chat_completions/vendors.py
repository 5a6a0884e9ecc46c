"""Quirks of each vendor's chat-completions server, with source and date, and the wire built from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from ....catalog.model import Model
from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.content import Effort
from .. import call_ids
from .quirks import Quirks
from .wire import ChatCompletionsWire

# OpenAI: https://platform.openai.com/docs/api-reference/chat/create, read 2026-11-22. The o-series and GPT-5 and later
# take instructions in the developer role and reject max_tokens. Older models accept max_completion_tokens as well.
OPENAI_REASONING = Quirks(
    system_role="developer",
    max_tokens_field="max_completion_tokens",
    schema_support="strict",
    shows_reasoning=False,
    call_ids=call_ids.OPENAI_CHAT,
)
OPENAI_CLASSIC = replace(OPENAI_REASONING, system_role="system", effort_values={})
OPENAI_CLASSIC_MODEL = re.compile(r"(?:ft:)?(?:gpt-[1-4](?!\d)|chatgpt-4o)")

# DeepSeek: https://api-docs.deepseek.com/guides/thinking_mode and .../api/create-chat-completion, read 2026-11-22.
# Thinking is on unless disabled and has three levels. After tool calls, an assistant turn must carry its
# reasoning_content again. Strict tools exist only on the beta base URL. JSON mode, but no JSON schemas.
DEEPSEEK = Quirks(
    system_role="system",
    max_tokens_field="max_tokens",
    effort_values={
        Effort.MINIMAL: "low",
        Effort.LOW: "low",
        Effort.MEDIUM: "high",
        Effort.HIGH: "high",
        Effort.XHIGH: "max",
        Effort.MAX: "max",
    },
    has_thinking_toggle=True,
    reasoning_field="reasoning_content",
    supports_strict_tools=False,
    schema_support="json_mode",
)

# Groq: https://console.groq.com/docs/reasoning, read 2026-11-22. gpt-oss has three levels and cannot turn reasoning
# off. Qwen has on and off, and writes its reasoning into the text unless reasoning_format is "parsed".
GROQ_GPT_OSS = Quirks(
    max_tokens_field="max_completion_tokens",
    effort_values={
        Effort.MINIMAL: "low",
        Effort.LOW: "low",
        Effort.MEDIUM: "medium",
        Effort.HIGH: "high",
        Effort.XHIGH: "high",
        Effort.MAX: "high",
    },
)
GROQ_QWEN = Quirks(
    max_tokens_field="max_completion_tokens",
    effort_values={effort: "none" if effort is Effort.NONE else "default" for effort in Effort},
    extra_fields={"reasoning_format": "parsed"},
)
GROQ_OTHER = Quirks(max_tokens_field="max_completion_tokens", effort_values={})

# Mistral: https://docs.mistral.ai/api/endpoint/chat, read 2026-11-22, and mistralai 3.7.0. Unknown fields are rejected
# with 422, stream_options included (usage is always sent). Tool call ids have nine letters or digits. A required tool
# call is "any". Older models reject a user turn directly after tool results. Reasoning is an item of the content.
MISTRAL = Quirks(
    seed_field="random_seed",
    required_tool_choice="any",
    call_ids=call_ids.MISTRAL,
    allows_user_after_tool=False,
    reasoning_in_content=True,
    requests_stream_usage=False,
    schema_support="plain",
)
# Magistral always reasons and has no effort levels.
MAGISTRAL = replace(MISTRAL, effort_values={Effort.HIGH: ""})

# xAI: https://docs.x.ai/docs/api-reference, read 2026-11-22. Reasoning arrives in reasoning_content, and its tokens are
# not part of completion_tokens. The catalog records that reasoning models reject stop sequences.
XAI = Quirks(max_tokens_field="max_completion_tokens", schema_support="plain")


# https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html, read 2026-11-22: top_k is an extra parameter of
# vLLM, and of llama.cpp, OpenRouter, Together and Fireworks as well. Ollama ignores unknown fields.
UNKNOWN_SERVER = Quirks(top_k_field="top_k")


def openai_quirks(model: str) -> Quirks:
    """Return the quirks of an OpenAI model. Unknown names get those of the newest models.

    >>> [openai_quirks(model).system_role for model in ("gpt-4o-mini", "ft:gpt-4.1:org", "o3", "gpt-6.2-sol")]
    ['system', 'system', 'developer', 'developer']
    """
    return OPENAI_CLASSIC if OPENAI_CLASSIC_MODEL.match(model) else OPENAI_REASONING


def groq_quirks(model: str) -> Quirks:
    """Return the quirks of a model on Groq. Outside the Qwen and gpt-oss families, no reasoning fields are sent."""
    if model.startswith("qwen/"):
        return GROQ_QWEN
    return GROQ_GPT_OSS if model.startswith("openai/gpt-oss") else GROQ_OTHER


def mistral_quirks(model: str) -> Quirks:
    """Return the quirks of a Mistral model."""
    return MAGISTRAL if model.startswith("magistral") else MISTRAL


QUIRKS: Mapping[str, Callable[[str], Quirks]] = MappingProxyType(
    {
        "openai": openai_quirks,
        "deepseek": lambda model: DEEPSEEK,
        "groq": groq_quirks,
        "mistral": mistral_quirks,
        "xai": lambda model: XAI,
    }
)
"""The quirks lookup of each vendor, by provider name."""


def vendor_wire(
    vendor: str, settings: ProviderSettings, limits: Limits, find_model: Callable[[str], Model | None]
) -> ChatCompletionsWire:
    """Build the wire of a vendor. A name outside `QUIRKS` gets what most servers accept."""
    return ChatCompletionsWire(settings, limits, QUIRKS.get(vendor, lambda model: UNKNOWN_SERVER), find_model)
