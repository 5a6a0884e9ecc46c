"""Level 4 of the cascade: what is known of providers by their name, and of any other by its name alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

BUILT_IN: tuple[str, ...] = ("mock", "claude", "openai", "deepseek", "gemini")
"""The providers every server has. Those known besides are there once the config names them or their key is set."""

BASE_URL_VARIABLES: Mapping[str, str] = {
    "claude": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "deepseek": "DEEPSEEK_BASE_URL",
    "azure": "AZURE_OPENAI_ENDPOINT",
}
"""The variables the vendors' own clients read."""

KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {"gemini": ("GOOGLE_API_KEY", "GEMINI_API_KEY")}
"""Where a vendor's own client reads several, in its order; `key_variable` names the first and stands for all."""


def _remote(wire: str, base_url: str, key_variable: str, **more: Any) -> Mapping[str, Any]:
    return MappingProxyType({"wire": wire, "base_url": base_url, "key_variable": key_variable, **more})


def _chat(base_url: str, key_variable: str) -> Mapping[str, Any]:
    """A vendor of the chat-completions wire whose models the catalogue knows."""
    return _remote("chat_completions", base_url, key_variable)


def _open(base_url: str, key_variable: str = "", **more: Any) -> Mapping[str, Any]:
    """A host of the chat-completions wire that serves whatever models there are."""
    return _remote("chat_completions", base_url, key_variable, allow_any_model=True, **more)


KNOWN: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mock": MappingProxyType({"wire": "mock"}),
        "claude": _remote("claude", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
        "openai": _remote("responses", "https://api.openai.com/v1", "OPENAI_API_KEY"),
        "deepseek": _chat("https://api.deepseek.com", "DEEPSEEK_API_KEY"),
        "gemini": _remote("gemini", "https://generativelanguage.googleapis.com/v1beta", "GOOGLE_API_KEY"),
        "mistral": _chat("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        "xai": _chat("https://api.x.ai/v1", "XAI_API_KEY"),
        "groq": _chat("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        "openrouter": _open("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
        "together": _open("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
        "fireworks": _open("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
        # Its address is the operator's own, https://NAME.openai.azure.com; its models are named as they were deployed.
        "azure": _open("", "AZURE_OPENAI_API_KEY", version="2024-10-21"),
        "ollama": _open("http://localhost:11434/v1"),
        "vllm": _open("http://localhost:8000/v1"),
        "lmstudio": _open("http://localhost:1234/v1"),
    }
)
"""The settings of every provider known by name, where nobody said anything."""

WIRES_ELSEWHERE: Mapping[str, str] = MappingProxyType({"openai": "chat_completions"})
"""The wire of a provider at an address that is not its own: those who copy it copy the older one."""


def defaults_of(name: str, base_url: object = None) -> dict[str, Any]:
    """A provider's settings where nobody said anything; what is not here has a system default.

    `base_url` is what somebody said of the address, which decides the wire of OpenAI.

    No token limit and no temperature: a service that moves here from a vendor's client must not change its answers.

    >>> defaults_of("my-host")
    {'key_variable': 'MY_HOST_API_KEY'}
    >>> [defaults_of("openai", url)["wire"] for url in (None, "https://eu.api.openai.com/v1", "http://localhost:8000/v1")]
    ['responses', 'responses', 'chat_completions']
    """
    known = KNOWN.get(name)
    if known is None:
        return {"key_variable": f"{name.upper().replace('-', '_')}_API_KEY"}
    wire = WIRES_ELSEWHERE.get(name)
    return {**known, "wire": wire} if wire and _is_elsewhere(base_url, known["base_url"]) else dict(known)


def key_variables(name: str, variable: str) -> tuple[str, ...]:
    """The variables that can hold a provider's key, the decisive one first; `variable` is its `key_variable`.

    >>> key_variables("gemini", "GOOGLE_API_KEY"), key_variables("gemini", "MY_KEY")
    (('GOOGLE_API_KEY', 'GEMINI_API_KEY'), ('MY_KEY',))
    """
    several = KEY_VARIABLES.get(name, ())
    return several if variable in several[:1] else (variable,)


def present(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The providers that nobody needs to name: the built-in ones, and those whose key and address are known.

    >>> present({"GROQ_API_KEY": "k", "AZURE_OPENAI_API_KEY": "k"})
    ('mock', 'claude', 'openai', 'deepseek', 'gemini', 'groq')
    """
    return (*BUILT_IN, *(name for name in KNOWN if name not in BUILT_IN and _is_usable(name, environment)))


def every(names: Iterable[str], said: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The defaults of the providers of these names; `said` is what was said of them so far."""
    return {name: defaults_of(name, said.get(name, {}).get("base_url")) for name in dict.fromkeys(names)}


def completed(given: object) -> object:
    """The providers as given, with their defaults below; what is no table is left for validation to refuse."""
    if not isinstance(given, Mapping):
        return given
    providers: dict[Any, Any] = {name: defaults_of(name) for name in BUILT_IN}
    for name, provider in given.items():
        is_table = isinstance(name, str) and isinstance(provider, Mapping)
        providers[name] = {**defaults_of(name, provider.get("base_url")), **provider} if is_table else provider
    return providers


def _is_elsewhere(base_url: object, own: str) -> bool:
    if not isinstance(base_url, str):
        return False
    try:
        host, home = urlsplit(base_url).hostname or "", urlsplit(own).hostname or ""
    except ValueError:
        return True
    return not f".{host}".endswith(f".{home}")


def _is_usable(name: str, environment: Mapping[str, str]) -> bool:
    known = KNOWN[name]
    has_key = bool(environment.get(known["key_variable"], "").strip())
    return has_key and bool(known["base_url"] or environment.get(BASE_URL_VARIABLES.get(name, "")))
