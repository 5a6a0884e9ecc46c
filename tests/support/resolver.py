"""Questions and resolvers for the tests of resolve, over the real catalogue and real settings."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.catalog.catalog import Capability, Catalogue, Level, Model, Support
from aimanager_server.config.provider_defaults import defaults_of
from aimanager_server.config.settings import Limits, ProviderSettings, RouteSettings
from aimanager_server.core.content import Message, Part, Role, Text, Tool
from aimanager_server.core.errors import CapabilityUnsupported
from aimanager_server.core.request import Call, Caller, GenerateParams, Target
from aimanager_server.routing.load_balancing import Order, as_listed
from aimanager_server.routing.resolver import Resolver

CATALOGUE = Catalogue.load()
LAB: dict[str, Any] = {"wire": "chat_completions", "base_url": "http://127.0.0.1:1/v1"}
"""The settings of a provider that is not built in."""

NO_FILES = {Capability.IMAGE_INPUT: Support(Level.NONE), Capability.DOCUMENT_INPUT: Support(Level.NONE)}
LABS = Catalogue(
    (
        *CATALOGUE.models(),
        Model("lab", "blind", capabilities=NO_FILES),
        Model("lab", "small", context_window=100),
        Model("lab", "tiny", context_window=50),
        Model("lab", "whole", capabilities={Capability.STREAMING: Support(Level.NONE)}),
    ),
    CATALOGUE.aliases(),
)
"""The real catalogue, and four models of lab's: one reads no files, two have little room, one does not stream."""

WEATHER = Tool("get_weather", "Tells the weather", '{"type":"object"}')


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    return Message(Role.ASSISTANT, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def ask(model: str = "", *messages: Message, **fields: Any) -> GenerateParams:
    return GenerateParams(messages=messages or (user("Hello"),), model=model, **fields)


def settings(name: str, **fields: Any) -> ProviderSettings:
    return ProviderSettings(**{**defaults_of(name), **fields})


def providers(**changed: dict[str, Any]) -> dict[str, ProviderSettings]:
    """The built-in providers, and any more, each with the settings given."""
    names = dict.fromkeys(("mock", "claude", "openai", "deepseek", *changed))
    return {name: settings(name, **changed.get(name, {})) for name in names}


def resolver(default_model: str = "", limits: Limits | None = None, **changed: dict[str, Any]) -> Resolver:
    configured = providers(**changed)
    catalogue = CATALOGUE.with_providers(configured)
    return Resolver(catalogue, configured, limits or Limits(), default_model)


def route(*targets: str, **fields: Any) -> RouteSettings:
    return RouteSettings(targets=list(targets), **fields)


def routed(default_model: str = "", order: Order = as_listed, **routes: RouteSettings) -> Resolver:
    """A resolver with these routes over LABS."""
    return Resolver(LABS, providers(lab=LAB), Limits(), default_model, routes=routes, order=order)


def resolve(
    asked: GenerateParams, by: Resolver | None = None, *, caller: Caller | None = None, streaming: bool = False
) -> Call:
    return (by or resolver()).resolve(asked, caller or Caller(), id="call-1", deadline=60.0, streaming=streaming)


def target(asked: GenerateParams, by: Resolver | None = None) -> Target:
    return resolve(asked, by).target


def asked_in_turn(asked: GenerateParams, by: Resolver | None = None) -> list[str]:
    """The targets, in order."""
    return [f"{one.provider}/{one.model}" for one in resolve(asked, by).targets]


def warned(asked: GenerateParams, by: Resolver | None = None) -> dict[str, str]:
    """The warnings, by field."""
    return {warning.field: warning.message for warning in target(asked, by).warnings}


def refusal(asked: GenerateParams, by: Resolver | None = None) -> CapabilityUnsupported:
    """What the model of the question lacks."""
    with pytest.raises(CapabilityUnsupported) as fault:
        resolve(asked, by)
    return fault.value


def fields(fault: CapabilityUnsupported) -> list[str]:
    return [violation.field for violation in fault.violations]


def lab(**facts: Any) -> Resolver:
    """A resolver that knows one model more: lab/llama with these facts."""
    model = Model("lab", "llama", **facts)
    catalogue = Catalogue((*CATALOGUE.models(), model), CATALOGUE.aliases())
    return Resolver(catalogue, providers(lab=LAB), Limits())
