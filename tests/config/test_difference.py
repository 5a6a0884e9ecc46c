"""The difference between two configurations, and what of it needs a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from aimanager_server.commands.reference.configuration import sections
from aimanager_server.config.difference import differences
from aimanager_server.config.loader import FILE_SETTINGS, load
from aimanager_server.config.restart import RESTART_SETTINGS, until_restart
from aimanager_server.config.settings import ServerSettings, Settings

DIGEST = "0" * 64


def settings(**values: Any) -> Settings:
    return load(values, None, {}).settings


def texts(old: Settings, new: Settings) -> list[str]:
    return [str(change) for change in differences(old, new)]


def test_equal_settings_have_no_difference() -> None:
    assert texts(settings(), settings()) == []


def test_values_and_tables_are_named() -> None:
    old = settings(tiers={"free": {"requests_per_minute": 1}, "b": {}}, models={"claude/m": {"prices": None}})
    new = settings(
        tiers={"free": {"requests_per_minute": 2}, "c": {}},
        models={"claude/m": {"prices": {"input": "1", "output": "2"}}},
        providers={"claude": {"models": ["m"] * 100}},
        server={"metrics_listen": "off"},
    )

    assert texts(old, new) == [
        'server.metrics_listen: "127.0.0.1:9464" → not set',
        "tiers.b: removed",
        "tiers.c: added",
        "tiers.free.requests_per_minute: 1 → 2",
        "models.claude/m.prices: not set → set",
        "providers.claude.models: [] → [" + '"m", ' * 15 + '"m"…',
    ]


@pytest.mark.parametrize(
    ("old", "new", "setting"),
    [
        ({"api_key": "canary-1"}, {"api_key": "canary-2"}, "api_key"),
        ({}, {"api_key": "canary-2"}, "api_key"),
        ({"headers": {"x": "canary-1"}}, {"headers": {"x": "canary-2"}}, "headers"),
        ({"options": {"x": "canary-1"}}, {"options": {"x": "canary-2"}}, "options"),
        ({"keys": [{"api_key": "canary-1"}]}, {"keys": [{"api_key": "canary-2"}]}, "keys"),
    ],
)
def test_secrets_are_only_reported_as_changed(old: dict[str, Any], new: dict[str, Any], setting: str) -> None:
    before, after = (settings(providers={"claude": provider}) for provider in (old, new))

    assert texts(before, after) == [f"providers.claude.{setting}: changed"]


def test_a_changed_token_is_not_shown() -> None:
    tokens = ([{"id": "one", "sha256": digit * 64}] for digit in "12")
    old, new = (settings(callers={"ann": {"tokens": each}}) for each in tokens)

    assert texts(old, new) == ["callers.ann.tokens: changed"]


def test_a_key_in_the_wrong_place_is_masked() -> None:
    found = texts(settings(), settings(server={"default_model": "sk-canary-0123456789"}))

    assert "canary" not in found[0]


def test_a_file_with_other_content_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    loaded = []
    for key in ("key-1", "key-2", "key-2"):
        file.write_text(key)
        loaded.append(settings(providers={"claude": {"api_key_file": str(file)}}))

    assert texts(loaded[0], loaded[1]) == ["providers.claude.api_key_file: content changed"]
    assert loaded[1] == loaded[2]


def test_every_setting_with_a_path_is_watched() -> None:
    with_paths = {
        name for _, section in sections() for name, one in section.model_fields.items() if _has_path(one.annotation)
    }

    assert with_paths == FILE_SETTINGS


def _has_path(annotation: Any) -> bool:
    return annotation is Path or (get_origin(annotation) is not None and any(map(_has_path, get_args(annotation))))


def test_settings_that_need_a_restart_keep_their_value() -> None:
    started = settings(server={"listen": "127.0.0.1:1"}, plugins={"providers": ["acme"]})
    loaded = settings(
        server={"listen": "127.0.0.1:2", "reflection": True, "stream_timeout_seconds": 9999.0, "max_in_flight": 1},
        limits={"max_message_bytes": 2**30, "max_tools": 1},
        plugins={"providers": ["other"]},
    )

    used = until_restart(started, loaded)

    assert [change.setting for change in differences(used, loaded)] == [
        "server.listen",
        "server.reflection",
        "server.stream_timeout_seconds",
        "limits.max_message_bytes",
        "plugins.providers",
        "providers.acme",
        "providers.other",
    ]
    assert (used.server.max_in_flight, used.limits.max_tools) == (1, 1)


def test_limits_of_connections_can_be_lowered_and_raised_again() -> None:
    started = settings(server={"stream_timeout_seconds": 1000.0})
    for seconds, size in ((10.0, 1), (1000.0, 2**25)):
        loaded = settings(server={"stream_timeout_seconds": seconds}, limits={"max_message_bytes": size})

        assert until_restart(started, loaded) == loaded


def test_restart_settings_exist() -> None:
    assert set(RESTART_SETTINGS) <= ServerSettings.model_fields.keys()
