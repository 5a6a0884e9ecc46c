"""Level 4 of the cascade: what is known of the built-in providers, and of any other by its name alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

BUILT_IN: tuple[str, ...] = ("mock", "claude", "openai", "deepseek")

BASE_URL_VARIABLES: Mapping[str, str] = {
    "claude": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "deepseek": "DEEPSEEK_BASE_URL",
}
"""The variables the vendors' own clients read."""


def defaults_of(name: str) -> dict[str, Any]:
    """A provider's settings where nobody said anything; what is not here has a system default.

    No token limit and no temperature: a service that moves here from a vendor's client must not change its answers.

    >>> defaults_of("my-host")
    {'key_variable': 'MY_HOST_API_KEY'}
    """
    match name:
        case "mock":
            return {"wire": "mock"}
        case "claude":
            return _remote("claude", "https://api.anthropic.com", "ANTHROPIC_API_KEY")
        case "openai":
            return _remote("chat_completions", "https://api.openai.com/v1", "OPENAI_API_KEY")
        case "deepseek":
            return _remote("chat_completions", "https://api.deepseek.com", "DEEPSEEK_API_KEY")
        case _:
            return {"key_variable": f"{name.upper().replace('-', '_')}_API_KEY"}


def every(named: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The defaults of the built-in providers and of those that are named besides."""
    return {name: defaults_of(name) for name in dict.fromkeys((*BUILT_IN, *named))}


def completed(given: object) -> object:
    """The providers as given, with their defaults below; what is no table is left for validation to refuse."""
    if not isinstance(given, Mapping):
        return given
    providers: dict[Any, Any] = {name: defaults_of(name) for name in BUILT_IN}
    for name, provider in given.items():
        is_table = isinstance(name, str) and isinstance(provider, Mapping)
        providers[name] = {**defaults_of(name), **provider} if is_table else provider
    return providers


def _remote(wire: str, base_url: str, key_variable: str) -> dict[str, Any]:
    return {"wire": wire, "base_url": base_url, "key_variable": key_variable}
