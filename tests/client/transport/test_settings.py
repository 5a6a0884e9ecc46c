"""Client settings: keys, tokens, targets and TLS."""

from __future__ import annotations

import logging
from collections.abc import Callable

import grpc
import pytest

from aimanager import AIManager, AsyncAIManager, ConfigurationError
from aimanager._transport.endpoint import Endpoint, channel_options, is_loopback
from tests.support.fake_gateway.messages import error_status
from tests.support.fake_gateway.server import FakeGateway

KEY = "sk-s3cret-0123456789"
Make = Callable[..., AIManager | AsyncAIManager]
both = pytest.mark.parametrize("make", [AIManager, AsyncAIManager])


@both
@pytest.mark.parametrize("key", ["", "  ", None])
def test_api_key_is_required(make: Make, key: str | None) -> None:
    with pytest.raises(ConfigurationError) as rejected:
        make(api_key=key)

    assert str(rejected.value) == "API key is required and must be a non-empty string"
    assert "AIManager.gateway" in rejected.value.solution


def test_mock_accepts_any_key_and_none(fake: FakeGateway) -> None:
    for key in ("", "anything"):
        with AIManager(key, provider="mock", target=fake.target) as ai:
            assert ai.request("Hi").content == "Hello."


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", f"{KEY}é", "two\nlines"])
def test_invalid_key_is_rejected_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError) as rejected:
        AIManager(key)

    assert KEY not in f"{rejected.value!r} {rejected.value.solution}"


def test_swapped_arguments_do_not_show_the_key() -> None:
    with pytest.raises(ConfigurationError, match="provider must be") as rejected:
        AIManager("claude", "sk-ANT")

    assert "sk-ANT" not in f"{rejected.value!r} {rejected.value.solution}"


@both
@pytest.mark.parametrize(
    "target", ["10.0.0.1:50051", "gateway.example:1", "dns:///gateway.example:443", "127.0.0.1:1,8.8.8.8:1"]
)
def test_key_requires_tls_beyond_loopback(make: Make, target: str) -> None:
    with pytest.raises(ConfigurationError, match="must use TLS") as rejected:
        make(KEY, target=target)

    assert KEY not in str(rejected.value)


@pytest.mark.parametrize(
    "target",
    [
        "localhost:1",
        "127.8.8.8:1",
        "[::1]:1",
        "ipv4:127.0.0.1:1",
        "ipv6:[::1]:1",
        "unix:/run/a.sock",
        "dns:localhost:1",
    ],
)
def test_loopback_targets_bypass_proxies(target: str) -> None:
    assert is_loopback(target)
    assert ("grpc.enable_http_proxy", 0) in channel_options(Endpoint(target))


def test_key_is_accepted_with_tls() -> None:
    assert repr(AIManager(KEY, target="gateway.example:443", tls=True))


def test_remote_targets_may_use_a_proxy() -> None:
    assert not [option for option in channel_options(Endpoint("gateway.example:1")) if "proxy" in option[0]]


def test_key_is_sent_to_models_only_and_token_with_every_call(fake: FakeGateway) -> None:
    with AIManager(KEY, "claude", target=fake.target, token="t0ken") as ai:
        ai.request("Hi")
        list(ai.stream("Hi"))
        fake.respond("ListModels", error_status(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"))
        with pytest.raises(Exception, match="The call failed"):
            ai.models.list()

    assert [call.metadata.get("x-provider-key-claude") for call in fake.received] == [KEY, KEY, None]
    assert {call.metadata["authorization"] for call in fake.received} == {"Bearer t0ken"}


@both
async def test_no_repr_log_or_error_shows_a_secret(
    make: Make, fake: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.respond("Generate", error_status(grpc.StatusCode.UNAUTHENTICATED, "PROVIDER_KEY_REJECTED"))
    ai = make(KEY, target=fake.target, token="t0ken")

    raised = ""
    try:
        response = ai.request("Hi")
        if not isinstance(ai, AIManager):
            await response  # type: ignore[misc]
    except Exception as error:
        raised = f"{error!r} {error.__cause__!r} {vars(error)}"
    shown = f"{ai!r} {ai._settings!r} {raised} {caplog.text}"
    ai.close() if isinstance(ai, AIManager) else await ai.close()

    assert "PROVIDER_KEY_REJECTED" in raised
    assert KEY not in shown
    assert "t0ken" not in shown


def test_a_gateway_without_a_target_uses_the_variables(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMANAGER_TARGET", fake.target)
    monkeypatch.setenv("AIMANAGER_TOKEN", "from-environment")

    with (
        AIManager.gateway() as found,
        AIManager.gateway(token="passed") as passed,
        AIManager.gateway(fake.target) as named,
    ):
        for ai in (found, passed, named):
            ai.request("Hi")

    assert [ai.target for ai in (found, passed, named)] == [fake.target] * 3
    sent = [call.metadata.get("authorization") for call in fake.received]
    assert sent == ["Bearer from-environment", "Bearer passed", None]


@both
def test_empty_variables_leave_the_default_target(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMANAGER_TARGET", "")
    monkeypatch.setenv("AIMANAGER_TOKEN", "")

    assert make.gateway().target == "127.0.0.1:50051"  # type: ignore[attr-defined]


@pytest.mark.parametrize("token", ["", "two\nlines"])
def test_invalid_token_is_rejected(token: str) -> None:
    with pytest.raises(ConfigurationError):
        AIManager.gateway(token=token)
