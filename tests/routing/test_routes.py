"""Routes: order of targets, validation, and lookup by model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Model
from aimanager_server.config.routes import RoutingPolicy
from aimanager_server.config.settings import RouteSettings
from aimanager_server.core.content import Attachment
from aimanager_server.core.errors import CapabilityUnsupported, InvalidRequest, ModelNotFound
from aimanager_server.routing.candidates import Candidate
from tests.support.resolver import (
    CATALOG,
    generate_params,
    provider_settings,
    providers,
    resolve,
    resolve_target,
    resolver_over,
    route,
    route_resolver,
    target_names,
    user_message,
    warnings_of,
)

IMAGE = user_message("What is it?", Attachment("image/png", data=b"png"))
LONG = user_message("word" * 200)
OPUS, LUNA, FLASH = "claude/claude-opus-5-5", "openai/gpt-6-luna", "deepseek/deepseek-flash"


def test_route_has_its_targets_then_its_fallbacks() -> None:
    resolver = route_resolver(chat=route("claude/latest", "openai/fast", fallback_models=["deepseek/fast"]))

    assert target_names(generate_params("chat"), resolver) == [OPUS, LUNA, FLASH]


def test_fallbacks_of_the_caller_precede_those_of_the_route() -> None:
    resolver = route_resolver(chat=route("claude/latest", fallback_models=["deepseek/fast"]))

    assert target_names(generate_params("chat", fallback_models=("openai/fast",)), resolver) == [OPUS, LUNA, FLASH]


def test_targets_are_ordered_for_every_call_but_fallbacks_are_not() -> None:
    seen: list[tuple[str, str, list[int]]] = []

    def swapped(route: str, policy: RoutingPolicy, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        seen.append((route, policy, [candidate.weight for candidate in candidates]))
        return candidates[::-1] if len(seen) % 2 else candidates

    chat = route("claude/latest", "openai/fast", policy="weighted", weights=[3, 1], fallback_models=["deepseek/fast"])
    resolver = route_resolver(order=swapped, chat=chat)

    found = [target_names(generate_params("chat"), resolver) for _ in range(2)]

    assert found == [[LUNA, OPUS, FLASH], [OPUS, LUNA, FLASH]]
    assert seen == [("chat", "weighted", [3, 1])] * 2


def test_default_route_sets_the_provider_of_bare_names() -> None:
    resolver = route_resolver("chat", chat=route("deepseek/fast", "claude/latest"))

    assert target_names(generate_params(), resolver) == [FLASH, OPUS]
    assert resolve_target(generate_params("latest"), resolver).provider == "deepseek"


def test_requested_model_is_the_route() -> None:
    resolver = route_resolver(chat=route("claude/latest"))

    assert resolve(generate_params("chat"), resolver).requested_model == "chat"


def test_unsuitable_targets_are_skipped_without_a_warning() -> None:
    resolver = route_resolver(
        chat=route("deepseek/deepseek-v4-pro", "claude/latest", "lab/blind", fallback_models=["lab/blind"])
    )

    assert target_names(generate_params("chat", IMAGE), resolver) == [OPUS]
    assert warnings_of(generate_params("chat", IMAGE), resolver) == {}


def test_fallback_of_the_route_is_used_if_no_target_is_suitable() -> None:
    resolver = route_resolver(chat=route("lab/blind", fallback_models=["claude/latest"]))

    assert target_names(generate_params("chat", IMAGE), resolver) == [OPUS]


def test_route_without_a_suitable_target_is_rejected_for_its_first_target() -> None:
    resolver = route_resolver(chat=route("deepseek/deepseek-v4-pro", "lab/blind"))

    with pytest.raises(CapabilityUnsupported, match="'deepseek/deepseek-v4-pro' does not support image input"):
        resolve(generate_params("chat", IMAGE), resolver)


def test_route_with_one_unsuitable_target_is_rejected() -> None:
    with pytest.raises(CapabilityUnsupported, match="'lab/blind' does not support image input"):
        resolve(generate_params("chat", IMAGE), route_resolver(chat=route("lab/blind")))


def test_targets_with_a_too_small_context_window_are_skipped_unless_nothing_else_is_left() -> None:
    resolver = route_resolver(some=route("lab/small", "claude/latest"), none=route("lab/small", "lab/tiny"))

    assert target_names(generate_params("some", LONG), resolver) == [OPUS]
    assert target_names(generate_params("none", LONG), resolver) == ["lab/small", "lab/tiny"]


def test_misspelled_route_has_similar_names() -> None:
    with pytest.raises(ModelNotFound, match="Did you mean fast_chat"):
        resolve(generate_params("fast_chta"), route_resolver(fast_chat=route("claude/latest")))


def test_model_of_a_route_is_its_first_target() -> None:
    resolver = route_resolver("chat", chat=route("deepseek/fast", "claude/latest"))

    assert [resolver.resolve_model(name).model.id for name in ("chat", "")] == ["deepseek-flash"] * 2


def test_routes_by_model_include_targets_and_fallbacks() -> None:
    resolver = route_resolver(
        one=route("claude/latest", "claude/claude-opus-5-5"),
        two=route("openai/fast", fallback_models=["claude/latest"]),
    )

    assert resolver.routes_by_model() == {
        ("claude", "claude-opus-5-5"): ("one", "two"),
        ("openai", "gpt-6-luna"): ("two",),
    }


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("latest", route("claude/current"), "routes.latest has the name of an alias, 'latest'. Rename the route."),
        ("gpt-4o", route("claude/current"), "routes.gpt-4o hides the model 'openai/gpt-4o'. Rename the route."),
        ("chat", route("mock/fast", "claude/knows"), r"routes.chat.targets\[1\] is invalid: Model 'knows' not found"),
        ("chat", route("off/model"), r"routes.chat.targets\[0\] is invalid: Provider 'off' is disabled"),
        (
            "chat",
            route("mock/fast", fallback_models=["x/y"]),
            r"routes.chat.fallback_models\[0\] is invalid: Provider 'x' not found",
        ),
    ],
)
def test_invalid_route_is_rejected_at_startup(name: str, given: RouteSettings, text: str) -> None:
    off = {"wire": "chat_completions", "base_url": "http://127.0.0.1:1/v1", "models": ["model"], "enabled": False}
    configured = providers(off=off)
    resolver = resolver_over(CATALOG.with_providers(configured), configured, routes={name: given})

    with pytest.raises(InvalidRequest, match=text):
        resolver.validate_routes()


def test_valid_routes_are_accepted() -> None:
    route_resolver(chat=route("claude/latest", "openai/fast", fallback_models=["mock/fast"])).validate_routes()


def test_target_of_a_plugin_may_become_known_later() -> None:
    configured = {"mock": provider_settings("mock"), "acme": provider_settings("acme", wire="plugin")}
    catalog = Catalog(CATALOG.models("mock"))
    routes = {"chat": route("acme/song", "mock/mock-small")}
    resolver = resolver_over(catalog, configured, routes=routes)

    resolver.validate_routes()
    before = target_names(generate_params("chat"), resolver)
    catalog.update_listed("acme", [Model("acme", "song")])
    after = target_names(generate_params("chat"), resolver)

    assert before == ["mock/mock-small"]
    assert after == ["acme/song", "mock/mock-small"]


def test_route_without_a_known_target_is_not_found() -> None:
    configured = {"acme": provider_settings("acme", wire="plugin")}
    routes = {"chat": route("acme/song", "acme/dance")}
    resolver = resolver_over(Catalog([]), configured, routes=routes)

    with pytest.raises(ModelNotFound, match="'song'"):
        resolve(generate_params("chat"), resolver)

    assert resolver.routes_by_model() == {}
