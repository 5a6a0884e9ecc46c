"""Providers are replaced while the server runs: their keys, addresses and certificates."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from aimanager_server.resilience.circuit_breaker import CircuitState
from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Upstream
from tests.support.eventually import eventually
from tests.support.reload import SERVER, live_gateway

REJECTED = fails(401, "Invalid key.", kind="authentication_error")


@pytest.fixture
def first() -> Iterator[Upstream]:
    upstream = Upstream(responds(), name="first")
    with served_upstreams(upstream):
        yield upstream


@pytest.fixture
def second() -> Iterator[Upstream]:
    upstream = Upstream(responds(), name="second")
    with served_upstreams(upstream):
        yield upstream


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "aimanager.toml"


def provider(upstream: Upstream, *lines: str) -> str:
    head = f'[providers.{upstream.name}]\nwire = "chat_completions"\nbase_url = "{upstream.url}"\nmodels = ["m"]\n'
    return head + "".join(f"{line}\n" for line in lines)


def key_file(folder: Path, name: str, key: str) -> str:
    """Write a key file and return the setting that names it."""
    file, new = folder / name, folder / f"{name}.new"
    new.write_text(key)
    new.replace(file)  # at once: the server must not read a file that is not written yet
    return f"api_key_file = {json.dumps(str(file))}"


def circuit_state(gateway: object, name: str) -> CircuitState:
    state: CircuitState = gateway.app.state.health.circuit_state(name)  # type: ignore[attr-defined]
    return state


async def test_a_key_file_is_rotated(config: Path, first: Upstream, second: Upstream) -> None:
    text = SERVER + provider(first, key_file(config.parent, "one", "key-1"))
    text += provider(second, key_file(config.parent, "two", "key-2"))
    async with live_gateway(config, text) as gateway:
        await gateway.ask(model="first/m")
        await gateway.ask(model="second/m")
        kept = gateway.app.providers["second"]

        key_file(config.parent, "one", "key-1-new")
        entry = await gateway.outcome()

        await gateway.ask(model="first/m")
        await gateway.ask(model="second/m")
        assert gateway.app.providers["second"] is kept
    assert first.api_keys == ["key-1", "key-1-new"]
    assert second.api_keys == ["key-2", "key-2"]
    assert len(second.connections) == 1
    assert entry["changes"] == ["providers.first.api_key_file: content changed"]


async def test_a_call_in_flight_ends_with_the_provider_it_began_with(config: Path, first: Upstream) -> None:
    first.set_script(responds(delay=0.3))
    text = SERVER + provider(first, key_file(config.parent, "one", "key-1"))
    async with live_gateway(config, text) as gateway:
        call = gateway.generate(model="first/m")
        await eventually(lambda: len(first.requests), 1)

        key_file(config.parent, "one", "key-1-new")
        await gateway.outcome()
        replaced = len(gateway.app.retired)
        response = await call

        await eventually(lambda: len(gateway.app.retired), 0)
        await eventually(lambda: first.open_connections, 0)
    assert replaced == 1
    assert response.message.parts[0].text


async def test_a_new_key_does_not_inherit_the_circuit_breaker_of_the_rejected_one(
    config: Path, first: Upstream
) -> None:
    first.set_script(REJECTED, responds())
    text = SERVER + provider(first, key_file(config.parent, "one", "key-1"))
    async with live_gateway(config, text) as gateway:
        await gateway.refusal(model="first/m")
        opened = circuit_state(gateway, "first")

        key_file(config.parent, "one", "key-1-new")
        await gateway.outcome()

        assert await gateway.ask(model="first/m")
        closed = circuit_state(gateway, "first")
    assert (opened, closed) == (CircuitState.OPEN, CircuitState.CLOSED)


async def test_a_new_key_leaves_the_others_in_quarantine(config: Path, first: Upstream) -> None:
    first.set_script(REJECTED)
    one, two = (key_file(config.parent, name, f"key-{name}") for name in ("one", "two"))
    text = SERVER + provider(first, f"keys = [{{ {one} }}, {{ {two} }}]")
    async with live_gateway(config, text) as gateway:
        await gateway.refusal(model="first/m")
        before = gateway.metric("aimanager_quarantined_keys", provider="first")

        key_file(config.parent, "one", "key-new")
        await gateway.outcome()

        assert gateway.metric("aimanager_quarantined_keys", provider="first") == 1
    assert before == 2


async def test_a_circuit_breaker_survives_changes_of_other_settings(config: Path, first: Upstream) -> None:
    first.set_script(fails(500))
    first.probe_responder = fails(500)
    text = SERVER + provider(first, "api_key = 'k'") + "[retry]\nmax_attempts = 5\n"
    async with live_gateway(config, text) as gateway:
        await gateway.refusal(model="first/m")
        opened = circuit_state(gateway, "first")

        await gateway.reload(text + "budget_ratio = 0.5\n[providers.first.defaults]\ntemperature = 0.5\n")

        assert circuit_state(gateway, "first") is CircuitState.OPEN
        await gateway.reload(text + '[providers.other]\nwire = "mock"\nmodels = ["m"]\n')
        assert circuit_state(gateway, "first") is CircuitState.OPEN
    assert opened is CircuitState.OPEN


async def test_a_preferred_wait_applies_from_the_next_call_on(config: Path, first: Upstream) -> None:
    first.set_script(fails(429, "Slow down.", "Retry-After: 0.2"), responds())
    text = SERVER + provider(first, "api_key = 'k'") + '[providers.other]\nwire = "mock"\nmodels = ["m"]\n'
    async with live_gateway(config, text) as gateway:
        await gateway.ask(model="first/m", fallbacks=["other/m"])
        requests_before = len(first.requests)
        first.set_script(fails(429, "Slow down.", "Retry-After: 0.2"), responds())

        await gateway.reload(text + "[retry]\nprefer_same_target_seconds = 1\n")
        await gateway.ask(model="first/m", fallbacks=["other/m"])

    assert requests_before == 1
    assert len(first.requests) == 3


async def test_a_key_file_that_is_created_later_is_used_then(config: Path, first: Upstream) -> None:
    async with live_gateway(config, SERVER + provider(first, "api_key = 'key-1'")) as gateway:
        missing = config.parent / "later"
        failed = await gateway.reload(SERVER + provider(first, f"api_key_file = '{missing}'"))
        await gateway.ask(model="first/m")

        key_file(config.parent, "later", "key-2")
        entry = await gateway.outcome()

        await gateway.ask(model="first/m")
    assert (failed["event"], entry["event"]) == ("config.reload_failed", "config.reloaded")
    assert first.api_keys == ["key-1", "key-2"]


async def test_a_provider_is_added_and_removed(config: Path, first: Upstream) -> None:
    async with live_gateway(config, SERVER) as gateway:
        before = await gateway.refusal(model="first/m")
        await gateway.reload(SERVER + provider(first, "api_key = 'key-1'"))
        during = await gateway.ask(model="first/m")
        exported = gateway.app.state.metrics.registry.get_sample_value(
            "aimanager_circuit_breaker_state", {"provider": "first"}
        )

        await gateway.reload(SERVER)

        after = await gateway.refusal(model="first/m")
        removed = gateway.app.state.metrics.registry.get_sample_value(
            "aimanager_circuit_breaker_state", {"provider": "first"}
        )
    assert (before, after) == ("PROVIDER_NOT_FOUND", "PROVIDER_NOT_FOUND")
    assert during
    assert (exported, removed) == (0, None)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def encrypted(authority: trustme.CA) -> Iterator[Upstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    upstream = Upstream(responds(), name="first", tls=context)
    with served_upstreams(upstream):
        yield upstream


async def test_new_certificate_authorities_of_a_provider_are_trusted(
    config: Path, encrypted: Upstream, authority: trustme.CA
) -> None:
    authorities = config.parent / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authorities))
    text = SERVER + provider(encrypted, "api_key = 'k'", f"ca_file = '{authorities}'")
    async with live_gateway(config, text) as gateway:
        before = await gateway.refusal(model="first/m")

        authority.cert_pem.write_to_path(str(authorities))
        entry = await gateway.outcome()

        assert await gateway.ask(model="first/m")
    assert before == "PROVIDER_UNTRUSTED"
    assert entry["changes"] == ["providers.first.ca_file: content changed"]
