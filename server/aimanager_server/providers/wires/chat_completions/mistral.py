"""Mistral's server of the chat-completions wire."""

from __future__ import annotations

from dataclasses import replace

from ....config.providers import ProviderSettings
from ....config.settings import Limits
from . import ChatCompletions, Quirks

# https://docs.mistral.ai/api/endpoint/chat, read 2026-11-22, and mistralai 3.7.0: fields it does not know are refused
# with 422, stream_options among them (usage comes unasked); ids of tool calls have nine letters or digits; a forced
# call is "any"; older models take no user turn directly after results of tools; reasoning is an item of the content.
QUIRKS = Quirks(
    seed_field="random_seed",
    required_word="any",
    call_id_length=9,
    user_after_tool=False,
    reasoning_in_content=True,
    stream_usage=False,
    schemas="plain",
)
# Magistral always thinks, and knows no effort.
MAGISTRAL = replace(QUIRKS, effort_words={})


def quirks_of(model: str) -> Quirks:
    """The row for a model."""
    return MAGISTRAL if model.startswith("magistral") else QUIRKS


def mistral(settings: ProviderSettings, limits: Limits) -> ChatCompletions:
    """The dialect of api.mistral.ai."""
    return ChatCompletions(settings, limits, quirks_of)
