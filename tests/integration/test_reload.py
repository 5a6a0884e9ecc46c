"""The configuration is reloaded while the server runs: callers, quotas, routes, limits and models."""

from __future__ import annotations

import gc
import hashlib
import os
from pathlib import Path

import pytest

from aimanager.v1 import health_pb2
from aimanager_server.app import Components
from aimanager_server.reload import ReloadTimings
from aimanager_server.telemetry.stderr_capture import StderrCapture
from tests.support.eventually import eventually
from tests.support.reload import SERVER, live_gateway, with_settings
from tests.support.tokens import token_of, token_settings

TARGETS = '[routes.chat]\ntargets = ["mock/{model}"]\n'


def caller(name: str, tier: str = "") -> str:
    token = token_settings(token_of(name))
    text = f'[callers.{name}]\ntokens = [{{ id = "{token["id"]}", sha256 = "{token["sha256"]}" }}]\n'
    return text + (f'tier = "{tier}"\n' if tier else "")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "aimanager.toml"


async def test_a_caller_is_added_and_another_revoked(config: Path) -> None:
    async with live_gateway(config, SERVER + caller("ann")) as gateway:
        before = await gateway.ask(caller="ann"), await gateway.refusal(caller="bob")

        entry = await gateway.reload(SERVER + caller("bob"))

        after = await gateway.refusal(caller="ann"), await gateway.ask(caller="bob")
    assert (before[1], after[0]) == ("API_KEY_INVALID", "API_KEY_INVALID")
    assert before[0] == after[1] != ""
    assert entry["changes"] == ["callers.ann: removed", "callers.bob: added"]


async def test_a_lower_quota_counts_the_calls_made_before(config: Path) -> None:
    text = SERVER + caller("ann", "free") + "[tiers.free]\nrequests_per_minute = 100\n"
    async with live_gateway(config, text) as gateway:
        for _ in range(3):
            await gateway.ask(caller="ann")

        entry = await gateway.reload(with_settings(text, requests_per_minute="3"))

        assert await gateway.refusal(caller="ann") == "RATE_LIMITED"
    assert entry["changes"] == ["tiers.free.requests_per_minute: 100 → 3"]


async def test_a_route_leads_to_another_model(config: Path) -> None:
    async with live_gateway(config, SERVER + TARGETS.format(model="mock-large")) as gateway:
        await gateway.reload(SERVER + TARGETS.format(model="mock-small"))

        response = await gateway.generate(model="chat")
    assert response.execution.model == "mock-small"


async def test_limits_and_models_change(config: Path) -> None:
    changed = '[limits]\nmax_message_bytes = 1000\n[models."mock/mock-large"]\ncontext_window = 4711\n'
    async with live_gateway(config, SERVER) as gateway:
        await gateway.ask("x" * 2000)

        await gateway.reload(SERVER + changed)

        assert await gateway.refusal("x" * 2000) == "PAYLOAD_TOO_LARGE"
        assert (await gateway.model("mock/mock-large")).context_window_tokens == 4711


async def test_raised_concurrency_admits_a_queued_call(config: Path) -> None:
    text = SERVER + "max_in_flight = 1\nqueue_timeout_seconds = 60.0\n"
    async with live_gateway(config, text) as gateway:
        admission = gateway.app.server.admission
        stalled = gateway.generate("[[latency: 60]]")
        await eventually(lambda: admission.in_flight, 1)
        queued = gateway.generate("Hi")
        await eventually(lambda: admission.queued, 1)

        await gateway.reload(with_settings(text, max_in_flight="2"))

        assert await queued
        stalled.cancel()


async def test_a_watch_of_all_providers_reports_a_new_one(config: Path) -> None:
    async with live_gateway(config, SERVER) as gateway:
        watch = aiter(gateway.health.WatchProviderHealth(health_pb2.WatchProviderHealthRequest()))
        known = {(await anext(watch)).provider.provider for _ in gateway.app.providers}

        await gateway.reload(SERVER + '[providers.extra]\nwire = "mock"\nmodels = ["m"]\n')

        added = (await anext(watch)).provider.provider
    assert (added, "extra" in known) == ("extra", False)


async def test_what_needs_a_restart_is_named_and_not_used(config: Path) -> None:
    async with live_gateway(config, SERVER) as gateway:
        text = with_settings(SERVER, listen='"127.0.0.1:1"') + "reflection = true\nmax_in_flight = 7\n"
        entry = await gateway.reload(text + '[plugins]\nproviders = ["acme"]\n')

        settings = gateway.app.state.settings
        (warning,) = gateway.entries("config.restart_required")
        assert await gateway.ask()
    assert warning["settings"] == ["server.listen", "server.reflection", "plugins.providers", "providers.acme"]
    assert entry["changes"] == ["server.max_in_flight: 512 → 7"]
    assert (settings.server.listen, settings.server.reflection) == ("127.0.0.1:0", False)
    assert settings.server.max_in_flight == 7


async def test_a_reload_never_turns_authentication_off(config: Path) -> None:
    async with live_gateway(config, SERVER + caller("ann")) as gateway:
        await gateway.reload(SERVER)
        anonymous, revoked = await gateway.refusal(), await gateway.refusal(caller="ann")
        (warning,) = gateway.entries("config.restart_required")

        await gateway.reload(SERVER + "allow_anonymous = true\n" + caller("ann"))

        assert await gateway.refusal() == anonymous
    assert (anonymous, revoked) == ("API_KEY_INVALID", "API_KEY_INVALID")
    assert warning["settings"] == ["callers"]
    assert gateway.entries("config.restart_required")[1]["settings"] == ["server.allow_anonymous"]


async def test_a_broken_file_keeps_the_last_good_settings_and_recovers(config: Path) -> None:
    good = SERVER + "max_in_flight = 7\n"
    async with live_gateway(config, good) as gateway:
        failed = await gateway.reload(good + '[routes.chat]\ntargets = ["claude/no-such-model"]\n')
        after_failure = await gateway.ask(), gateway.app.state.settings.server.max_in_flight
        is_successful = gateway.metric("aimanager_config_last_reload_successful")

        recovered = await gateway.reload(with_settings(good, max_in_flight="8"))

        failures = gateway.metric("aimanager_config_reloads_total", outcome="failure")
        reloads = gateway.metric("aimanager_config_reloads_total", outcome="success")
        assert gateway.metric("aimanager_config_last_reload_successful") == 1
    assert (failed["event"], recovered["event"]) == ("config.reload_failed", "config.reloaded")
    assert "no-such-model" in failed["problems"][0]
    assert after_failure[0]
    assert after_failure[1] == 7
    assert (is_successful, failures, reloads) == (0, 1, 1)


@pytest.mark.parametrize("content", ["", "[server\n", 'listen = "', "[serve]\nx = 1\n"], ids=range(4))
async def test_unusable_content_is_reported_once(config: Path, content: str) -> None:
    async with live_gateway(config, SERVER) as gateway:
        first = await gateway.reload(content)
        second = await gateway.reload(SERVER + "max_in_flight = 9\n")

        assert gateway.app.state.settings.server.max_in_flight == 9
    assert (first["event"], second["event"]) == ("config.reload_failed", "config.reloaded")


async def test_a_removed_file_keeps_the_settings(config: Path) -> None:
    async with live_gateway(config, SERVER + caller("ann")) as gateway:
        remove(config)

        entry = await gateway.outcome()

        assert await gateway.ask(caller="ann")
    assert "No such file" in entry["problems"][0]


async def test_a_file_is_read_only_after_its_write_has_ended(config: Path) -> None:
    timings = ReloadTimings(poll=0.005, settle=0.2, max_settle=2.0)
    async with live_gateway(config, SERVER + caller("ann"), timings) as gateway:
        write(config, SERVER)  # valid, but only the first half
        write(config, SERVER + caller("ann") + caller("bob"))

        entry = await gateway.outcome()

    assert entry["changes"] == ["callers.bob: added"]


async def test_files_swapped_by_symlink_as_in_a_kubernetes_volume_are_loaded(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    publish(volume, "..1", SERVER)
    (volume / "aimanager.toml").symlink_to("..data/aimanager.toml")
    async with live_gateway(volume / "aimanager.toml") as gateway:
        publish(volume, "..2", SERVER + "max_in_flight = 7\n")

        entry = await gateway.outcome()

    assert entry["changes"] == ["server.max_in_flight: 512 → 7"]


def write(file: Path, text: str) -> None:
    file.write_text(text)


def remove(file: Path) -> None:
    file.unlink()


def publish(volume: Path, name: str, text: str) -> None:
    """Write a version of the volume and swap it in, as kubelet does."""
    (volume / name).mkdir()
    (volume / name / "aimanager.toml").write_text(text)
    (volume / "..data_tmp").symlink_to(name)
    os.replace(volume / "..data_tmp", volume / "..data")


async def test_the_log_of_a_change_contains_no_secret(config: Path) -> None:
    provider = """
[providers.claude]
{key}
headers = {{ x-auth = "canary-header-{number}" }}
options = {{ token = "canary-option-{number}" }}
[callers.ann]
tokens = [{{ id = "one", sha256 = "{digest}" }}]
"""

    def text(number: int, key: str) -> str:
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        return SERVER + provider.format(number=number, key=key, digest=digest)

    async with live_gateway(config, text(1, 'api_key = "canary-key-1"')) as gateway:
        for number, key in enumerate(['api_key = "canary-key-2"', 'keys = [{ api_key = "canary-key-3" }]'], 2):
            entry = await gateway.reload(text(number, key))
            assert entry["event"] == "config.reloaded"
        await gateway.reload(text(4, 'api_key = "canary key 4"'))

        logged = repr(gateway.log)
    assert "canary" not in logged
    assert hashlib.sha256(b"2").hexdigest() not in logged
    assert "providers.claude.keys: changed" in logged


async def test_a_hundred_quick_changes_end_in_the_last_one_and_leave_nothing_behind(config: Path) -> None:
    provider = '[providers.host]\nwire = "chat_completions"\nbase_url = "http://127.0.0.1:{port}"\nmodels = ["m"]\n'
    async with live_gateway(config, SERVER + provider.format(port=1)) as gateway:
        await gateway.reload(SERVER + provider.format(port=2))
        await gateway.ask()
        before = open_descriptors(), live_components()

        for port in range(100, 200):
            await gateway.reload(SERVER + provider.format(port=port))
        for port in range(200, 300):
            gateway.write(SERVER + provider.format(port=port))
        await eventually(lambda: gateway.app.state.settings.providers["host"].base_url, "http://127.0.0.1:299")
        await gateway.ask()

        after = open_descriptors(), live_components()
        assert not gateway.app.retired
    assert after[0] < before[0] + 20  # fewer than the changes; the test itself may hold a connection
    assert after[1] <= before[1]


def live_components() -> int:
    gc.collect()
    return sum(isinstance(one, Components) for one in gc.get_objects())


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class RecordingCapture(StderrCapture):
    """Notes each level and list of secrets that it is given."""

    def __init__(self) -> None:
        super().__init__("info", (), 20_000)
        self.given: list[tuple[str, tuple[str, ...]]] = []

    def reconfigure(self, level: str, secrets: tuple[str, ...]) -> None:
        self.given.append((level, secrets))


async def test_the_process_that_writes_native_text_knows_new_secrets_and_the_new_level(config: Path) -> None:
    capture = RecordingCapture()
    async with live_gateway(config, SERVER, capture=capture) as gateway:
        await gateway.reload(SERVER.rstrip("\n") + '\nlog_level = "error"\n[providers.claude]\napi_key = "canary-1"\n')

    assert capture.given[0] == ("info", ("canary-1",))
    assert capture.given[-1] == ("error", ("canary-1",))


async def test_the_expiry_of_the_tokens_in_use_is_exported(config: Path) -> None:
    name = "aimanager_token_expiry_timestamp_seconds"
    expiring = caller("ann").replace(" }]", ", expires = 2096-10-02T07:06:40Z }]")
    async with live_gateway(config, SERVER + expiring) as gateway:
        before = gateway.metric(name, caller="ann")
        await gateway.reload(SERVER + caller("ann"))
        after = gateway.metric(name, caller="ann")

    assert (before, after) == (4_000_000_000, 0)
