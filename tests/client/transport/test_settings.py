"""What a client is made of: its key and where it may go, its model, its settings, its channel."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from aimanager import AIManager, AsyncAIManager, ConfigurationError
from aimanager._transport.channel import Endpoint, channel_options, is_loopback
from tests.support.fake_gateway.server import FakeGateway, refusal

KEY = "sk-s3cret-0123456789"
CLIENTS = Path(__file__).parents[3] / "clients"
Make = Callable[..., AIManager | AsyncAIManager]
both = pytest.mark.parametrize("make", [AIManager, AsyncAIManager])


@both
@pytest.mark.parametrize("key", ["", "  ", None])
def test_a_key_is_required(make: Make, key: str | None) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make(api_key=key)

    assert str(refused.value) == "API key is required and must be a non-empty string"
    assert "AIManager.gateway" in refused.value.solution


def test_mock_takes_any_key_and_none(fake: FakeGateway) -> None:
    for key in ("", "anything"):
        with AIManager(key, provider="mock", target=fake.target) as ai:
            assert ai.request("Hi").content == "Hello."


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", f"{KEY}é", "two\nlines"])
def test_a_key_that_cannot_travel_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        AIManager(key)

    assert KEY not in f"{refused.value!r} {refused.value.solution}"


def test_swapped_arguments_do_not_show_the_key() -> None:
    with pytest.raises(ConfigurationError, match="provider must be") as refused:
        AIManager("claude", "sk-ANT")

    assert "sk-ANT" not in f"{refused.value!r} {refused.value.solution}"


@both
@pytest.mark.parametrize(
    "target", ["10.0.0.1:50051", "gateway.example", "dns:///gateway.example:443", "127.0.0.1:1,8.8.8.8:1"]
)
def test_a_key_never_goes_beyond_this_machine_in_plaintext(make: Make, target: str) -> None:
    with pytest.raises(ConfigurationError, match="plaintext") as refused:
        make(KEY, target=target)

    assert KEY not in str(refused.value)


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
def test_loopback_is_this_machine(target: str) -> None:
    assert is_loopback(target)
    assert ("grpc.enable_http_proxy", 0) in channel_options(Endpoint(target))


def test_a_key_may_go_beyond_this_machine_over_tls() -> None:
    assert repr(AIManager(KEY, target="gateway.example:443", tls=True))


def test_a_proxy_is_left_to_others_beyond_this_machine() -> None:
    assert not [option for option in channel_options(Endpoint("gateway.example:1")) if "proxy" in option[0]]


def test_the_key_goes_with_questions_alone_and_the_token_with_everything(fake: FakeGateway) -> None:
    with AIManager(KEY, "claude", target=fake.target, token="t0ken") as ai:
        ai.request("Hi")
        list(ai.stream("Hi"))
        fake.will("ListModels", refusal(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"))
        with pytest.raises(Exception, match="cannot be done"):
            ai.models.list()

    assert [call.metadata.get("x-provider-key-claude") for call in fake.received] == [KEY, KEY, None]
    assert {call.metadata["authorization"] for call in fake.received} == {"Bearer t0ken"}


@both
async def test_no_repr_log_or_exception_shows_a_secret(
    make: Make, fake: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.will("Generate", refusal(grpc.StatusCode.UNAUTHENTICATED, "PROVIDER_KEY_REJECTED"))
    ai = make(KEY, target=fake.target, token="t0ken")

    raised = ""
    try:
        response = ai.request("Hi")
        if not isinstance(ai, AIManager):
            await response  # type: ignore[misc]
    except Exception as error:
        raised = f"{error!r} {error.__cause__!r} {vars(error)}"
    said = f"{ai!r} {ai._setup!r} {raised} {caplog.text}"
    ai.close() if isinstance(ai, AIManager) else await ai.close()

    assert "PROVIDER_KEY_REJECTED" in raised
    assert KEY not in said
    assert "t0ken" not in said


@pytest.mark.parametrize("token", ["", "two\nlines"])
def test_a_token_that_cannot_travel_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError):
        AIManager.gateway(token=token)
