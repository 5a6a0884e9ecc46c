"""Native request fields that a caller may not set unless the operator allows them, by wire.

A field is restricted if the gateway decides it, if the gateway does not book what it costs, or if it gives a caller
access to what belongs to others: data in the provider account that all callers share, or other servers. Fields that
only change the text of an answer, such as penalties or the verbosity, are not restricted, nor is `metadata`, which
labels a request.

Sources: the vendors' API references and SDKs (anthropic 2.12.0, openai 3.54.0, google-genai 3.4.0), OpenRouter's and
vLLM's API references, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

UNBOOKED = "must not be set, since the gateway does not book what it costs"
SHARED = "must not be set, since it reads or keeps data in the provider account that all callers share"
OTHER_SERVERS = "must not be set, since it makes the provider connect to other servers"


def _decided(field: str = "") -> str:
    """Return the reason for a field that the gateway decides, from the request field `field` if there is one."""
    return f"must not be set, since the gateway decides it{f' from {field}' if field else ''}"


MODEL = _decided("model")
MESSAGES = _decided("messages")
SYSTEM = _decided("system_instruction")
MAX_TOKENS = _decided("sampling.max_output_tokens")
TOOLS = _decided("tools, and does not book what a provider's own tools cost")
TOOL_CHOICE = _decided("tool_choice")
STREAM = _decided("the RPC")
ONE_ANSWER = "must not be set, since the gateway returns and books one answer"
TEXT_ONLY = "must not be set, since the gateway returns and books text"
DIMENSIONS = _decided("dimensions")

ANTHROPIC: Mapping[str, str] = MappingProxyType(
    {
        "model": MODEL,
        "fallbacks": MODEL,
        "messages": MESSAGES,
        "system": SYSTEM,
        "max_tokens": MAX_TOKENS,
        "tools": TOOLS,
        "tool_choice": TOOL_CHOICE,
        "stream": STREAM,
        "service_tier": UNBOOKED,
        "speed": UNBOOKED,
        "inference_geo": UNBOOKED,
        "container": SHARED,
        "diagnostics": SHARED,
        "mcp_servers": OTHER_SERVERS,
    }
)

CHAT_COMPLETIONS: Mapping[str, str] = MappingProxyType(
    {
        "model": MODEL,
        # OpenRouter: other models, and hosts with other prices and other rules for prompts.
        **dict.fromkeys(("models", "route", "preset", "provider"), MODEL),
        "messages": MESSAGES,
        "prompt": MESSAGES,
        # vLLM: a template that renders the messages.
        "chat_template": MESSAGES,
        "max_tokens": MAX_TOKENS,
        "max_completion_tokens": MAX_TOKENS,
        "n": ONE_ANSWER,
        "best_of": ONE_ANSWER,
        "tools": TOOLS,
        "functions": TOOLS,
        "web_search_options": UNBOOKED,
        # OpenRouter and xAI: web search.
        "plugins": UNBOOKED,
        "search_parameters": UNBOOKED,
        "tool_choice": TOOL_CHOICE,
        "function_call": TOOL_CHOICE,
        "stream": STREAM,
        "stream_options": STREAM,
        "deferred": STREAM,
        "modalities": TEXT_ONLY,
        "audio": TEXT_ONLY,
        "service_tier": UNBOOKED,
        # Chat completions do not report for which lifetime they wrote.
        "prompt_cache_options.ttl": UNBOOKED,
        "store": SHARED,
        # vLLM: the address of another server.
        "kv_transfer_params": OTHER_SERVERS,
    }
)

RESPONSES: Mapping[str, str] = MappingProxyType(
    {
        # Some models of the same provider require chat completions.
        **CHAT_COMPLETIONS,
        "input": MESSAGES,
        "instructions": SYSTEM,
        "prompt": SHARED,
        "max_output_tokens": MAX_TOKENS,
        "background": STREAM,
        "background_options": STREAM,
        "previous_response_id": SHARED,
        "conversation": SHARED,
    }
)

GEMINI: Mapping[str, str] = MappingProxyType(
    {
        "model": MODEL,
        "contents": MESSAGES,
        "systemInstruction": SYSTEM,
        "generationConfig.maxOutputTokens": MAX_TOKENS,
        "generationConfig.candidateCount": ONE_ANSWER,
        "generationConfig.responseModalities": TEXT_ONLY,
        "tools": TOOLS,
        "toolConfig": TOOL_CHOICE,
        "serviceTier": UNBOOKED,
        "cachedContent": SHARED,
        "store": SHARED,
    }
)

PLUGIN: Mapping[str, str] = MappingProxyType(
    {
        "model": MODEL,
        "messages": MESSAGES,
        **dict.fromkeys(("max_tokens", "max_output_tokens", "max_completion_tokens"), MAX_TOKENS),
        "n": ONE_ANSWER,
        "stream": STREAM,
    }
)
"""The names that most APIs use: what a plug-in does with its options is not known."""

RESTRICTED_OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "anthropic": ANTHROPIC,
        "chat_completions": CHAT_COMPLETIONS,
        "responses": RESPONSES,
        "gemini": GEMINI,
        "mock": MappingProxyType({}),
        "plugin": PLUGIN,
    }
)
"""The restricted fields of generation requests by wire, as paths, each with the reason that the caller reads."""

OPENAI_EMBEDDINGS: Mapping[str, str] = MappingProxyType(
    {
        "model": MODEL,
        "input": _decided("inputs"),
        "dimensions": DIMENSIONS,
        "output_dimension": DIMENSIONS,
        "encoding_format": _decided(),
        "output_dtype": _decided(),
        "service_tier": UNBOOKED,
    }
)

RESTRICTED_EMBEDDING_OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "chat_completions": OPENAI_EMBEDDINGS,
        "responses": OPENAI_EMBEDDINGS,
        "gemini": MappingProxyType(
            {"model": MODEL, "content": _decided("inputs"), "outputDimensionality": DIMENSIONS, "requests": MODEL}
        ),
    }
)
"""The restricted fields of embedding requests by wire; a wire without embeddings has none."""


def canonical_path(path: str) -> tuple[str, ...]:
    """Return a path in one spelling. Some servers ignore case, and protobuf's JSON accepts two spellings of a name.

    >>> canonical_path("generation_config.maxOutputTokens")
    ('generationconfig', 'maxoutputtokens')
    """
    return tuple(map(canonical_name, path.split(".")))


def canonical_name(name: str) -> str:
    """Return the name of a field in one spelling."""
    return name.casefold().replace("_", "")


def restricted_paths(wire: str) -> list[str]:
    """Return all fields of a wire that an operator can allow."""
    return sorted({*RESTRICTED_OPTIONS[wire], *RESTRICTED_EMBEDDING_OPTIONS.get(wire, ())})
