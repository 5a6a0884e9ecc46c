"""Routes as said in the settings."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.report import report
from aimanager_server.config.settings import RouteSettings


def refusal(**routes: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load({"routes": routes}, None, {})
    return str(caught.value).splitlines()[1:]


def test_a_route_is_said_in_a_table_or_a_variable() -> None:
    environment = {
        "AIMANAGER_ROUTES__CHAT__TARGETS": '["claude/fast"]',
        "AIMANAGER_ROUTES__CHAT__POLICY": "lowest_cost",
    }

    routes = load({"routes": {"other": {"targets": ["openai/fast"]}}}, None, environment).settings.routes

    assert routes == {
        "chat": RouteSettings(targets=["claude/fast"], policy="lowest_cost"),
        "other": RouteSettings(targets=["openai/fast"], policy="priority", weights=[], fallback_models=[]),
    }


def test_a_route_is_shown_with_the_origin_of_each_value() -> None:
    shown = report(load({"routes": {"chat": {"targets": ["claude/fast"]}}}, None, {}))

    assert "[routes.chat]" in shown
    assert 'targets = ["claude/fast"]' in shown


@pytest.mark.parametrize(
    ("name", "route", "text"),
    [
        ("claude", {"targets": ["openai/fast"]}, "routes.claude (argument): is the name of a provider; accepted"),
        ("Chat", {"targets": ["openai/fast"]}, "routes.Chat (argument): is not a name; accepted are 1 to 63 lower"),
        ("chat", {}, "routes.chat.targets (argument): is missing"),
        ("chat", {"targets": []}, "routes.chat.targets (argument): "),
        ("chat", {"targets": ["a"] * 17}, "routes.chat.targets (argument): "),
        ("chat", {"targets": [""]}, "routes.chat.targets[0] (argument): is empty; accepted is text"),
        ("chat", {"targets": ["a/b", "chat"]}, "routes.chat.targets[1] (argument): names a route; accepted is a model"),
        ("chat", {"targets": ["a/b", "a/b"]}, "routes.chat.targets[1] (argument): is there twice"),
        (
            "chat",
            {"targets": ["a/b"], "fallback_models": ["chat"]},
            "routes.chat.fallback_models[0] (argument): names a route; accepted is a model",
        ),
        (
            "chat",
            {"targets": ["a/b"], "policy": "random"},
            "routes.chat.policy (argument): accepted is 'priority', 'wei",
        ),
        (
            "chat",
            {"targets": ["a/b"], "weights": [1]},
            "routes.chat.weights (argument): stands beside the policy prior",
        ),
        (
            "chat",
            {"targets": ["a/b", "a/c"], "policy": "weighted", "weights": [1]},
            "routes.chat.weights (argument): has 1 numbers for 2 targets; accepted is one each",
        ),
        (
            "chat",
            {"targets": ["a/b"], "policy": "weighted", "weights": [0]},
            "routes.chat.weights[0] (argument): accepted",
        ),
    ],
)
def test_a_route_that_contradicts_itself_or_others_is_refused(name: str, route: dict[str, Any], text: str) -> None:
    found = refusal(**{name: route})

    assert [line for line in found if text in line]
