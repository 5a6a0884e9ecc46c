"""Provider defaults: settings of the providers known by name, and of plug-in providers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

BUILT_IN_PROVIDERS: tuple[str, ...] = ("claude", "openai", "deepseek", "gemini")
"""Providers that every server has. Other known providers need a table in the config file or an API key."""

BASE_URL_ENV: Mapping[str, str] = {
    "claude": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "deepseek": "DEEPSEEK_BASE_URL",
    "azure": "AZURE_OPENAI_ENDPOINT",
}
"""Environment variables of the vendors' SDKs for the base URL."""

API_KEY_ENV_ALIASES: Mapping[str, tuple[str, ...]] = {"gemini": ("GOOGLE_API_KEY", "GEMINI_API_KEY")}
"""API key variables of vendors whose SDK reads several, in its order. `api_key_env` names the first."""

PLUGIN_WIRE = "plugin"
"""The wire of providers that a plug-in implements."""


def _remote(wire: str, base_url: str, api_key_env: str, **more: Any) -> Mapping[str, Any]:
    return MappingProxyType({"wire": wire, "base_url": base_url, "api_key_env": api_key_env, **more})


def _chat(base_url: str, api_key_env: str) -> Mapping[str, Any]:
    """Return the settings of a vendor on the chat-completions wire whose models are in the catalog."""
    return _remote("chat_completions", base_url, api_key_env)


def _open(base_url: str, api_key_env: str = "", **more: Any) -> Mapping[str, Any]:
    """Return the settings of a host on the chat-completions wire that serves models outside the catalog."""
    return _remote("chat_completions", base_url, api_key_env, allow_any_model=True, **more)


KNOWN_PROVIDERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mock": MappingProxyType({"wire": "mock", "end_user_field": "end_user_id"}),
        # The fields for end users are from the vendors' API references, read 2026-11-22.
        "claude": _remote(
            "anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", end_user_field="metadata.user_id"
        ),
        "openai": _remote(
            "responses", "https://api.openai.com/v1", "OPENAI_API_KEY", end_user_field="safety_identifier"
        ),
        "deepseek": _remote(
            "chat_completions", "https://api.deepseek.com", "DEEPSEEK_API_KEY", end_user_field="user_id"
        ),
        "gemini": _remote("gemini", "https://generativelanguage.googleapis.com/v1beta", "GOOGLE_API_KEY"),
        "mistral": _chat("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        "xai": _chat("https://api.x.ai/v1", "XAI_API_KEY"),
        "groq": _chat("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        "openrouter": _open("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
        "together": _open("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
        "fireworks": _open("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
        # The base URL is specific to the operator: https://NAME.openai.azure.com. Models are deployment names.
        "azure": _open("", "AZURE_OPENAI_API_KEY", api_version="2024-10-21"),
        "ollama": _open("http://localhost:11434/v1"),
        "vllm": _open("http://localhost:8000/v1"),
        "lmstudio": _open("http://localhost:1234/v1"),
    }
)
"""Default settings of every provider known by name."""

WIRE_AT_OTHER_HOSTS: Mapping[str, str] = MappingProxyType({"openai": "chat_completions"})
"""Wire of a provider whose base URL is another vendor's: OpenAI-compatible servers rarely implement Responses."""


def provider_defaults(name: str, base_url: object = None) -> dict[str, Any]:
    """Return the default settings of a provider; missing ones have a system default.

    `base_url` is the configured URL, which determines the wire of OpenAI.

    The defaults set no token limit and no temperature: moving a service here from a vendor's SDK must not change its
    responses.

    >>> provider_defaults("my-host")
    {'api_key_env': 'MY_HOST_API_KEY'}
    >>> urls = (None, "https://eu.api.openai.com/v1", "http://localhost:8000/v1")
    >>> [provider_defaults("openai", url)["wire"] for url in urls]
    ['responses', 'responses', 'chat_completions']
    """
    known = KNOWN_PROVIDERS.get(name)
    if known is None:
        return {"api_key_env": f"{name.upper().replace('-', '_')}_API_KEY"}
    wire = WIRE_AT_OTHER_HOSTS.get(name)
    return {**known, "wire": wire} if wire and _is_other_host(base_url, known["base_url"]) else dict(known)


def api_key_envs(name: str, api_key_env: str) -> tuple[str, ...]:
    """Return the variables that may hold a provider's API key, by precedence; `api_key_env` is its setting.

    >>> api_key_envs("gemini", "GOOGLE_API_KEY"), api_key_envs("gemini", "MY_KEY")
    (('GOOGLE_API_KEY', 'GEMINI_API_KEY'), ('MY_KEY',))
    """
    aliases = API_KEY_ENV_ALIASES.get(name, ())
    return aliases if api_key_env in aliases[:1] else (api_key_env,)


def providers_with_keys(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the providers that need no table: the built-in ones, and those with an API key and a base URL.

    >>> providers_with_keys({"GROQ_API_KEY": "k", "AZURE_OPENAI_API_KEY": "k"})
    ('claude', 'openai', 'deepseek', 'gemini', 'groq')
    """
    others = (name for name in KNOWN_PROVIDERS if name not in BUILT_IN_PROVIDERS)
    return (*BUILT_IN_PROVIDERS, *(name for name in others if _is_usable(name, environment)))


def defaults_for(names: Iterable[str], configured: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the defaults of several providers, given the settings configured so far."""
    return {name: provider_defaults(name, configured.get(name, {}).get("base_url")) for name in dict.fromkeys(names)}


def plugin_provider_defaults(plugins: object) -> dict[str, dict[str, Any]]:
    """Return the defaults of the provider of each plug-in: its wire, and no API key.

    `plugins` is the raw table [plugins]. Invalid values are skipped; validation reports them.
    """
    names = plugins.get("providers") if isinstance(plugins, Mapping) else None
    usable = (name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
    return {name: {"wire": PLUGIN_WIRE, "api_key_env": ""} for name in usable}


def with_provider_defaults(providers: object, plugins: object) -> object:
    """Return the providers, including built-in and plug-in ones, with the defaults below the configured values.

    Values that are not tables are returned unchanged; validation reports them.
    """
    if not isinstance(providers, Mapping):
        return providers
    plugin_defaults = plugin_provider_defaults(plugins)
    configured = {**{name: {} for name in BUILT_IN_PROVIDERS}, **providers}
    for name in plugin_defaults:
        configured.setdefault(name, {})
    return {name: _with_defaults(name, table, plugin_defaults.get(name, {})) for name, table in configured.items()}


def _with_defaults(name: object, table: object, plugin_defaults: Mapping[str, Any]) -> object:
    if not isinstance(name, str) or not isinstance(table, Mapping):
        return table
    return {**provider_defaults(name, table.get("base_url")), **plugin_defaults, **table}


def _is_other_host(base_url: object, default: str) -> bool:
    if not isinstance(base_url, str):
        return False
    try:
        host, own = urlsplit(base_url).hostname or "", urlsplit(default).hostname or ""
    except ValueError:
        return True
    return not f".{host}".endswith(f".{own}")


def _is_usable(name: str, environment: Mapping[str, str]) -> bool:
    known = KNOWN_PROVIDERS[name]
    has_key = bool(environment.get(known.get("api_key_env", ""), "").strip())
    return has_key and bool(known["base_url"] or environment.get(BASE_URL_ENV.get(name, "")))
