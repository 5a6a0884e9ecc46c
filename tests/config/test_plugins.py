"""Providers of plug-ins in the settings."""

from __future__ import annotations

from aimanager_server.config.provider_defaults import plugin_provider_defaults, with_provider_defaults
from tests.support.gateway import settings_with


def test_a_plug_in_adds_a_provider_without_api_key_unless_its_table_sets_one() -> None:
    plain = settings_with(plugins={"providers": ["acme"]}).providers["acme"]
    configured = settings_with(
        {"ACME_KEY": "k"},
        plugins={"providers": ["acme"]},
        providers={"acme": {"api_key_env": "ACME_KEY", "options": {"marks": 1}}},
    ).providers["acme"]

    assert (plain.wire, plain.api_key_env, plain.credentials()) == ("plugin", "", ())
    assert [credential.key for credential in configured.credentials()] == ["k"]
    assert configured.options == {"marks": 1}


def test_defaults_keep_values_that_are_not_tables_for_validation() -> None:
    assert plugin_provider_defaults(None) == plugin_provider_defaults({"providers": "a"}) == {}
    assert with_provider_defaults(5, {"providers": ["a"]}) == 5
    with_defaults = with_provider_defaults({"a": 5}, {"providers": ["a"]})
    assert isinstance(with_defaults, dict)
    assert with_defaults["a"] == 5
