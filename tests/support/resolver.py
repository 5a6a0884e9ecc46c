"""Requests and resolvers over the built-in catalog and the real settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability, Model, Support, SupportLevel
from aimanager_server.config.provider_defaults import provider_defaults
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.routes import RouteSettings, RoutingPolicy
from aimanager_server.config.settings import Limits, ServerSettings, Settings
from aimanager_server.core.content import Message, Part, Role, Text, Tool
from aimanager_server.core.errors import CapabilityUnsupported
from aimanager_server.core.request import Call, Caller, GenerateParams, Target
from aimanager_server.routing.candidates import Candidate
from aimanager_server.routing.load_balancing import TargetOrder
from aimanager_server.routing.resolver import Resolver

CATALOG = Catalog.load()
LAB_SETTINGS: dict[str, Any] = {"wire": "chat_completions", "base_url": "http://127.0.0.1:1/v1"}
"""Settings of a provider that is not built in."""

NO_FILES = {Capability.IMAGE_INPUT: Support(SupportLevel.NONE), Capability.DOCUMENT_INPUT: Support(SupportLevel.NONE)}
LAB_CATALOG = Catalog(
    (
        *CATALOG.models(),
        Model("lab", "blind", capabilities=NO_FILES),
        Model("lab", "small", context_window=100),
        Model("lab", "tiny", context_window=50),
        Model("lab", "unary", capabilities={Capability.STREAMING: Support(SupportLevel.NONE)}),
    ),
    CATALOG.aliases(),
)
"""The built-in catalog and four models of 'lab': without file input, with a small context window, without streaming."""

WEATHER = Tool("get_weather", "Tells the weather", '{"type":"object"}')


def user_message(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant_message(*parts: Part | str) -> Message:
    return Message(Role.ASSISTANT, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def generate_params(model: str = "", *messages: Message, **fields: Any) -> GenerateParams:
    return GenerateParams(messages=messages or (user_message("Hello"),), model=model, **fields)


def provider_settings(name: str, **fields: Any) -> ProviderSettings:
    return ProviderSettings(**{**provider_defaults(name), **fields})


def providers(**changed: dict[str, Any]) -> dict[str, ProviderSettings]:
    """The built-in providers, and any others, each with the given settings."""
    names = dict.fromkeys(("mock", "claude", "openai", "deepseek", *changed))
    return {name: provider_settings(name, **changed.get(name, {})) for name in names}


def listed_order(route: str, policy: RoutingPolicy, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    return candidates


def resolver_over(
    catalog: Catalog,
    configured: Mapping[str, ProviderSettings] | None = None,
    *,
    target_order: TargetOrder = listed_order,
    **sections: Any,
) -> Resolver:
    """A resolver over a catalog, the built-in providers by default, and these sections of the settings."""
    settings = Settings.model_construct(providers=dict(configured or providers()), **sections)
    return Resolver(catalog, settings, target_order)


def make_resolver(default_model: str = "", limits: Limits | None = None, **changed: dict[str, Any]) -> Resolver:
    """A resolver over the built-in catalog; `changed` are settings by provider."""
    configured = providers(**changed)
    server = ServerSettings(default_model=default_model)
    return resolver_over(CATALOG.with_providers(configured), configured, limits=limits or Limits(), server=server)


def route(*targets: str, **fields: Any) -> RouteSettings:
    return RouteSettings(targets=list(targets), **fields)


def route_resolver(default_model: str = "", order: TargetOrder = listed_order, **routes: RouteSettings) -> Resolver:
    """A resolver with these routes over LAB_CATALOG."""
    server = ServerSettings(default_model=default_model)
    return resolver_over(LAB_CATALOG, providers(lab=LAB_SETTINGS), target_order=order, server=server, routes=routes)


def lab_resolver(**facts: Any) -> Resolver:
    """A resolver with one more model: lab/llama with these facts."""
    catalog = Catalog((*CATALOG.models(), Model("lab", "llama", **facts)), CATALOG.aliases())
    return resolver_over(catalog, providers(lab=LAB_SETTINGS))


def resolve(
    params: GenerateParams, resolver: Resolver | None = None, *, caller: Caller | None = None, streaming: bool = False
) -> Call:
    caller = caller or Caller()
    return (resolver or make_resolver()).resolve(params, caller, id="call-1", deadline=60.0, streaming=streaming)


def resolve_target(params: GenerateParams, resolver: Resolver | None = None) -> Target:
    return resolve(params, resolver).target


def target_names(params: GenerateParams, resolver: Resolver | None = None) -> list[str]:
    """The targets in order, as 'provider/model'."""
    return [f"{target.provider}/{target.model}" for target in resolve(params, resolver).targets]


def warnings_of(params: GenerateParams, resolver: Resolver | None = None) -> dict[str, str]:
    """The warnings of the first target, by field."""
    return {warning.field: warning.message for warning in resolve_target(params, resolver).warnings}


def capability_error(params: GenerateParams, resolver: Resolver | None = None) -> CapabilityUnsupported:
    with pytest.raises(CapabilityUnsupported) as raised:
        resolve(params, resolver)
    return raised.value


def violated_fields(error: CapabilityUnsupported) -> list[str]:
    return [violation.field for violation in error.violations]
