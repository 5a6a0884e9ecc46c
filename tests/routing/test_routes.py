"""What the name of a route means."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aimanager_server.catalog.catalog import Catalogue, Model
from aimanager_server.config.resilience import Policy
from aimanager_server.config.settings import Limits, RouteSettings
from aimanager_server.core.content import Attachment
from aimanager_server.core.errors import CapabilityUnsupported, InvalidRequest, ModelNotFound
from aimanager_server.core.request import Target
from aimanager_server.routing.load_balancing import Weighed
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import (
    CATALOGUE,
    ask,
    asked_in_turn,
    providers,
    resolve,
    route,
    routed,
    settings,
    target,
    user,
    warned,
)

IMAGE = user("What is it?", Attachment("image/png", data=b"png"))
LONG = user("word" * 200)
OPUS, LUNA, FLASH = "claude/claude-opus-5-5", "openai/gpt-6-luna", "deepseek/deepseek-flash"


def test_a_route_leads_to_its_targets_and_then_to_its_fallbacks() -> None:
    by = routed(chat=route("claude/latest", "openai/fast", fallback_models=["deepseek/fast"]))

    assert asked_in_turn(ask("chat"), by) == [OPUS, LUNA, FLASH]


def test_the_fallbacks_of_the_caller_come_before_those_of_the_route() -> None:
    by = routed(chat=route("claude/latest", fallback_models=["deepseek/fast"]))

    assert asked_in_turn(ask("chat", fallback_models=("openai/fast",)), by) == [OPUS, LUNA, FLASH]


def test_the_targets_are_ordered_anew_for_every_call_and_their_fallbacks_are_not() -> None:
    seen: list[tuple[str, str, list[int]]] = []

    def swapped(route: str, policy: Policy, weighed: Sequence[Weighed]) -> Sequence[Target]:
        seen.append((route, policy, [weight for _, weight in weighed]))
        targets = [one for one, _ in weighed]
        return targets[::-1] if len(seen) % 2 else targets

    chat = route("claude/latest", "openai/fast", policy="weighted", weights=[3, 1], fallback_models=["deepseek/fast"])
    by = routed(order=swapped, chat=chat)

    found = [asked_in_turn(ask("chat"), by) for _ in range(2)]

    assert found == [[LUNA, OPUS, FLASH], [OPUS, LUNA, FLASH]]
    assert seen == [("chat", "weighted", [3, 1])] * 2


def test_a_route_may_be_the_default_and_bare_names_belong_to_its_first_provider() -> None:
    by = routed("chat", chat=route("deepseek/fast", "claude/latest"))

    assert asked_in_turn(ask(), by) == [FLASH, OPUS]
    assert target(ask("latest"), by).provider == "deepseek"


def test_the_route_is_what_was_asked_for() -> None:
    by = routed(chat=route("claude/latest"))

    assert resolve(ask("chat"), by).requested_model == "chat"


def test_targets_that_cannot_answer_are_left_out_silently() -> None:
    by = routed(chat=route("deepseek/deepseek-v4-pro", "claude/latest", "lab/blind", fallback_models=["lab/blind"]))

    assert asked_in_turn(ask("chat", IMAGE), by) == [OPUS]
    assert warned(ask("chat", IMAGE), by) == {}


def test_a_fallback_of_the_route_answers_what_no_target_can() -> None:
    by = routed(chat=route("lab/blind", fallback_models=["claude/latest"]))

    assert asked_in_turn(ask("chat", IMAGE), by) == [OPUS]


def test_a_route_of_which_nobody_can_answer_is_refused_for_its_first() -> None:
    by = routed(chat=route("deepseek/deepseek-v4-pro", "lab/blind"))

    with pytest.raises(CapabilityUnsupported, match="'deepseek/deepseek-v4-pro' reads no images"):
        resolve(ask("chat", IMAGE), by)


def test_a_route_of_one_target_that_cannot_answer_is_refused() -> None:
    with pytest.raises(CapabilityUnsupported, match="'lab/blind' reads no images"):
        resolve(ask("chat", IMAGE), routed(chat=route("lab/blind")))


def test_targets_without_room_for_the_prompt_are_left_out_unless_nobody_else_is_left() -> None:
    by = routed(some=route("lab/small", "claude/latest"), none=route("lab/small", "lab/tiny"))

    assert asked_in_turn(ask("some", LONG), by) == [OPUS]
    assert asked_in_turn(ask("none", LONG), by) == ["lab/small", "lab/tiny"]


def test_a_name_much_like_that_of_a_route_is_told_of_it() -> None:
    with pytest.raises(ModelNotFound, match="Did you mean fast_chat"):
        resolve(ask("fast_chta"), routed(fast_chat=route("claude/latest")))


def test_the_facts_of_a_route_are_those_of_its_first_target() -> None:
    by = routed("chat", chat=route("deepseek/fast", "claude/latest"))

    assert [by.model(name).model.id for name in ("chat", "")] == ["deepseek-flash"] * 2


def test_each_model_has_the_routes_that_may_lead_to_it() -> None:
    by = routed(
        one=route("claude/latest", "claude/claude-opus-5-5"),
        two=route("openai/fast", fallback_models=["claude/latest"]),
    )

    assert by.routes() == {("claude", "claude-opus-5-5"): ("one", "two"), ("openai", "gpt-6-luna"): ("two",)}


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("latest", route("claude/current"), "routes.latest cannot be used: 'latest' is an alias"),
        ("gpt-4o", route("claude/current"), "routes.gpt-4o cannot be used: it would hide the model 'openai/gpt-4o'"),
        ("chat", route("mock/fast", "claude/knows"), r"routes.chat.targets\[1\] cannot be used: There is no model"),
        ("chat", route("off/model"), r"routes.chat.targets\[0\] cannot be used: The provider 'off' is disabled"),
        ("chat", route("mock/fast", fallback_models=["x/y"]), r"routes.chat.fallback_models\[0\] cannot be used"),
    ],
)
def test_a_route_that_cannot_be_is_refused_at_the_start(name: str, given: RouteSettings, text: str) -> None:
    off = {"wire": "chat_completions", "base_url": "http://127.0.0.1:1/v1", "models": ["model"], "enabled": False}
    configured = providers(off=off)
    by = Resolver(CATALOGUE.with_providers(configured), configured, Limits(), routes={name: given})

    with pytest.raises(InvalidRequest, match=text):
        by.check_routes()


def test_routes_that_can_be_are_let_be() -> None:
    routed(chat=route("claude/latest", "openai/fast", fallback_models=["mock/fast"])).check_routes()


def test_a_target_of_a_plug_in_may_become_known_later() -> None:
    configured = {"mock": settings("mock"), "acme": settings("acme", wire="plugin")}
    catalogue = Catalogue(CATALOGUE.models("mock"))
    by = Resolver(catalogue, configured, Limits(), routes={"chat": route("acme/song", "mock/mock-small")})

    by.check_routes()
    before = asked_in_turn(ask("chat"), by)
    catalogue.learn("acme", [Model("acme", "song")])
    after = asked_in_turn(ask("chat"), by)

    assert before == ["mock/mock-small"]
    assert after == ["acme/song", "mock/mock-small"]


def test_a_route_none_of_whose_targets_is_known_is_not_found() -> None:
    configured = {"acme": settings("acme", wire="plugin")}
    by = Resolver(Catalogue([]), configured, Limits(), routes={"chat": route("acme/song", "acme/dance")})

    with pytest.raises(ModelNotFound, match="'song'"):
        resolve(ask("chat"), by)

    assert by.routes() == {}
