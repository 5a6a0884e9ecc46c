"""Routes in the settings."""

from __future__ import annotations

from aimanager_server.config.loader import load
from aimanager_server.config.report import settings_report
from aimanager_server.config.settings import RouteSettings


def test_a_route_is_set_by_a_table_or_by_variables() -> None:
    environment = {
        "AIMANAGER_ROUTES__CHAT__TARGETS": '["claude/fast"]',
        "AIMANAGER_ROUTES__CHAT__POLICY": "lowest_cost",
    }

    routes = load({"routes": {"other": {"targets": ["openai/fast"]}}}, None, environment).settings.routes

    assert routes == {
        "chat": RouteSettings(targets=["claude/fast"], policy="lowest_cost"),
        "other": RouteSettings(targets=["openai/fast"], policy="priority", weights=[], fallback_models=[]),
    }


def test_the_report_contains_routes() -> None:
    report = settings_report(load({"routes": {"chat": {"targets": ["claude/fast"]}}}, None, {}))

    assert "[routes.chat]" in report
    assert 'targets = ["claude/fast"]' in report
