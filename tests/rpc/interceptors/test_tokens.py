"""Gateway tokens: several of a caller, rotation, expiry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
import pytest
import structlog

from tests.support.clock import FakeClock
from tests.support.rpc import REQUEST, RecordingHandler, build_server, running, server_settings
from tests.support.rpc_errors import RpcFailure, failure_of
from tests.support.tokens import callers, token_of, token_settings

NOW = datetime(2027, 1, 1, tzinfo=UTC)
OLD, NEW = token_of("old"), token_of("new")


def authorization(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def outcome(token: str, *tokens: dict[str, object], clock: FakeClock) -> RpcFailure | str:
    """How a call with a token ends: its failure, or the name of its caller."""
    handler, settings = RecordingHandler(), server_settings(callers={"ann": {"tokens": list(tokens)}})
    async with running(build_server(handler, settings, wall_clock=clock)) as gateway:
        try:
            await gateway.generation.Generate(REQUEST, metadata=authorization(token))
        except grpc.aio.AioRpcError as error:
            return RpcFailure(error)
    return handler.calls[0].caller.name


def wall_clock() -> FakeClock:
    return FakeClock(NOW.timestamp())


async def test_both_tokens_are_accepted_while_one_replaces_the_other() -> None:
    old, new = token_settings(OLD, expires=NOW + timedelta(days=1)), token_settings(NEW)

    assert await outcome(OLD, old, new, clock=wall_clock()) == "ann"
    assert await outcome(NEW, old, new, clock=wall_clock()) == "ann"


async def test_a_removed_token_is_rejected() -> None:
    failure = await outcome(OLD, token_settings(NEW), clock=wall_clock())

    assert isinstance(failure, RpcFailure)
    assert (failure.reason, failure.message) == ("API_KEY_INVALID", "Invalid gateway token.")


async def test_an_expired_token_is_rejected_with_its_own_reason() -> None:
    clock = wall_clock()
    handler, settings = RecordingHandler(), server_settings(callers={"ann": {"tokens": [
        token_settings(OLD, expires=NOW + timedelta(seconds=60))]}})  # fmt: skip
    async with running(build_server(handler, settings, wall_clock=clock)) as gateway:
        await gateway.generation.Generate(REQUEST, metadata=authorization(OLD))
        clock.advance(60)
        failure = await failure_of(gateway.generation.Generate(REQUEST, metadata=authorization(OLD)))

    assert len(handler.calls) == 1
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_EXPIRED")
    assert failure.message == "The gateway token has expired."


async def test_the_expiry_is_told_only_to_who_knows_the_secret() -> None:
    wrong_secret = OLD[:-1] + ("0" if OLD[-1] != "0" else "1")

    failure = await outcome(wrong_secret, token_settings(OLD, expires=NOW), clock=wall_clock())

    assert isinstance(failure, RpcFailure)
    assert failure.message == "Invalid gateway token."


@pytest.mark.parametrize(
    "token",
    [
        token_of("ann").removeprefix("aim_"),
        token_of("ann").replace("aim_", "AIM_"),
        f"{token_of('ann')}_",
        f" {token_of('ann')}x",
        token_of("ann").replace("_ann_", "_bob_"),
        token_of("ann").rpartition("_")[0],
        "aim_ann_",
        "aim__",
        "aim",
        "a" * 4000,
        "aim_" * 1000,
    ],
)
async def test_a_token_that_differs_in_any_part_is_invalid(token: str) -> None:
    async with running(build_server(settings=server_settings(callers=callers("ann", "bob")))) as gateway:
        failure = await failure_of(gateway.generation.Generate(REQUEST, metadata=authorization(token)))

    assert (failure.reason, failure.message) == ("API_KEY_INVALID", "Invalid gateway token.")


async def test_the_use_of_a_token_is_logged_once_a_day_in_the_days_before_its_expiry(
    log_events: list[structlog.typing.EventDict],
) -> None:
    clock = wall_clock()
    tokens = [token_settings(OLD, expires=NOW + timedelta(days=20))]
    async with running(
        build_server(settings=server_settings(callers={"ann": {"tokens": tokens}}), wall_clock=clock)
    ) as (gateway):
        for days in (0, 5, 2, 0, 1):
            clock.advance(days * 86_400)
            await gateway.generation.Generate(REQUEST, metadata=authorization(OLD))
        clock.advance(30 * 86_400)
        for _ in range(2):
            await failure_of(gateway.generation.Generate(REQUEST, metadata=authorization(OLD)))

    logged = [{**event, "request_id": ""} for event in log_events if event["event"].startswith("token.")]
    fields = {"caller": "ann", "token_id": "old", "expires": "2027-01-21T00:00:00+00:00", "request_id": ""}
    assert logged == [
        {"event": "token.expiring", "log_level": "warning", **fields},
        {"event": "token.expiring", "log_level": "warning", **fields},
        {"event": "token.expired", "log_level": "warning", **fields},
    ]
