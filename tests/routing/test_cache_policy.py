"""Whether and how a call uses the response cache."""

from __future__ import annotations

import pytest

from aimanager_server.config.response_cache import ResponseCacheSettings
from aimanager_server.core.cache_policy import CacheMode, CachePolicy
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.request import Call, Caller, Target
from tests.support.resolver import CATALOG, generate_params, resolve, resolver_over

USE, REFRESH, OFF = CachePolicy(CacheMode.USE, 60.0), CachePolicy(CacheMode.REFRESH), CachePolicy(CacheMode.OFF)
ANN, STRANGER = Caller("ann"), Caller()


def resolved(policy: CachePolicy | None, caller: Caller = ANN, **settings: object) -> Call:
    resolver = resolver_over(CATALOG, response_cache=ResponseCacheSettings.model_validate(settings))
    return resolve(generate_params("mock/latest", cache_policy=policy), resolver, caller=caller)


def warned(target: Target) -> list[str]:
    return [warning.message for warning in target.warnings if warning.field == "cache_policy"]


@pytest.mark.parametrize(
    ("sent", "default_mode", "expected"),
    [
        (None, "off", None),
        (None, "use", CachePolicy(CacheMode.USE)),
        (OFF, "use", None),
        (USE, "off", USE),
        (REFRESH, "off", REFRESH),
        (CachePolicy(), "off", None),
        (CachePolicy(), "use", CachePolicy(CacheMode.USE)),
    ],
)
def test_the_request_decides_before_the_server(
    sent: CachePolicy | None, default_mode: str, expected: CachePolicy | None
) -> None:
    call = resolved(sent, default_mode=default_mode)

    assert call.cache_policy == expected
    assert warned(call.target) == []


def test_a_server_without_a_store_says_so_if_the_request_asks_for_one() -> None:
    asked, silent = resolved(USE, store="off"), resolved(None, store="off", default_mode="use")

    assert (asked.cache_policy, silent.cache_policy) == (None, None)
    assert warned(asked.target) == ["The server keeps no responses; the response is generated."]
    assert warned(silent.target) == []


def test_strangers_share_no_stored_responses() -> None:
    stranger, own_key = resolved(USE, STRANGER), resolved(USE, Caller(provider_keys={"mock": "k"}))

    assert stranger.cache_policy is None
    assert "send a gateway token" in warned(stranger.target)[0]
    assert own_key.cache_policy == USE
    # On loopback, and in process, whoever can connect may do everything.
    assert resolved(USE, Caller(is_admin=True)).cache_policy == USE


@pytest.mark.parametrize(
    ("policy", "description"),
    [
        (CachePolicy(CacheMode.USE, 0.0), "must be greater than 0 s, got 0 s"),
        (CachePolicy(CacheMode.USE, float("nan")), "must be greater than 0 s, got nan s"),
        (CachePolicy(CacheMode.REFRESH, 1.0), "requires CACHE_MODE_USE"),
        (CachePolicy(CacheMode.OFF, 1.0), "requires CACHE_MODE_USE"),
    ],
)
def test_a_maximum_age_that_cannot_apply_is_rejected(policy: CachePolicy, description: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        resolved(policy)

    assert [(one.field, one.description) for one in caught.value.violations] == [("cache_policy.max_age", description)]
