"""Every setting of a caller, and requests with these settings to every provider and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.provider_defaults import KNOWN_PROVIDERS
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import (
    CacheHint,
    Effort,
    Message,
    ReasoningOptions,
    Role,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    ToolMode,
)
from aimanager_server.core.request import Attempt, Caller, GenerateParams
from aimanager_server.providers.factory import wires_of
from aimanager_server.providers.wires.wire import HttpRequest
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import CATALOG, provider_settings, resolver_over

UNKNOWN_MODEL = "model-of-tomorrow"
HOST = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "", "allow_any_model": True}
LABS = {f"lab-{wire}": {**HOST, "wire": wire} for wire in ("anthropic", "chat_completions", "responses", "gemini")}
LABS["azure"] = {"base_url": "http://127.0.0.1:1", "allow_any_model": True}
PROVIDERS = [name for name in KNOWN_PROVIDERS if name not in ("mock", *LABS)] + list(LABS)

TOOLS = (Tool("look", "Looks.", '{"type":"object","properties":{},"required":[],"additionalProperties":false}'),)
STRICT_TOOLS = tuple(replace(tool, strict=True) for tool in TOOLS)

SETTINGS: Mapping[str, Sequence[dict[str, Any]]] = {
    "sampling.max_output_tokens": [{"sampling": Sampling(max_output_tokens=count)} for count in (30_000, 31_000)],
    "sampling.temperature": [{"sampling": Sampling(temperature=value)} for value in (0.25, 0.75)],
    "sampling.top_p": [{"sampling": Sampling(top_p=value)} for value in (0.25, 0.75)],
    "sampling.top_k": [{"sampling": Sampling(top_k=count)} for count in (5, 40)],
    "sampling.seed": [{"sampling": Sampling(seed=seed)} for seed in (7, 8)],
    "sampling.stop_sequences": [{"sampling": Sampling(stop_sequences=(stop,))} for stop in ("END", "STOP")],
    "reasoning.effort": [{"reasoning": ReasoningOptions(effort)} for effort in Effort],
    "reasoning.budget_tokens": [
        {"reasoning": ReasoningOptions(budget_tokens=budget)} for budget in (2000, 9000, 20_000)
    ],
    "reasoning.include": [{"reasoning": ReasoningOptions(include=True)}],
    "tools[0].strict": [{"tools": STRICT_TOOLS}],
    "tool_choice": [
        dict(tools=TOOLS, tool_choice=choice) for choice in (*map(ToolChoice, ToolMode), ToolChoice(tool_name="look"))
    ],
    "tool_choice.parallel": [
        dict(tools=TOOLS, tool_choice=ToolChoice(parallel=parallel)) for parallel in (True, False)
    ],
    "end_user_id": [{"end_user_id": name} for name in ("ann", "bob")],
    "cache_hint": [{"system_instruction": "Be brief. " * 2000, "cache_hint": hint} for hint in CacheHint],
}
"""Values of each setting, which must lead to different bodies."""


@cache
def resolver_for(provider: str) -> tuple[Resolver, Catalog]:
    settings = provider_settings(provider, **{**LABS.get(provider, {}), "allow_any_model": True})
    catalog = CATALOG.with_providers({provider: settings})
    return resolver_over(catalog, {provider: settings}, limits=Limits()), catalog


def models_of(provider: str) -> list[str]:
    _, catalog = resolver_for(provider)
    return [UNKNOWN_MODEL, *(model.id for model in catalog.models(provider) if model.embedding is None)]


def sent(provider: str, model: str, settings: Mapping[str, Any], *, streaming: bool = False) -> HttpRequest:
    """Return the request, with all warnings. Raises CapabilityUnsupported."""
    resolver, catalog = resolver_for(provider)
    messages = settings.get("messages", (Message(Role.USER, (Text("Look at JSON."),)),))
    params = GenerateParams(**{**settings, "model": f"{provider}/{model}", "messages": messages})
    call = resolver.resolve(params, Caller(), id="call-1", deadline=60.0, streaming=streaming)
    configured = provider_settings(provider, **{**LABS.get(provider, {}), "allow_any_model": True})
    default, wire_for = wires_of(provider, configured, Limits(), partial(catalog.find, provider))
    wire = default if wire_for is None else wire_for(call.target.model)
    request = wire.encode(Attempt.of(call, call.target, 0.0, is_streamed=streaming), "")
    return replace(request, warnings=(*call.target.warnings, *request.warnings))
