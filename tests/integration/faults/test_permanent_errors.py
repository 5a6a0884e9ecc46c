"""Refusals that asking again does not mend: who else is asked, and who is not."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager.v1 import generation_pb2
from tests.integration.faults.fault_catalog import refuses, says
from tests.integration.faults.gateway import NEXT, attempts_of, gateway, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import TEXT

TOO_LONG = refuses(400, "Too long.", code="context_length_exceeded")
BLOCKED = refuses(400, "Not that.", code="content_filter")
OTHERS = ("second/m", "third/m")
TOOL = generation_pb2.Tool(name="look", description="Looks.")


def windows(*tokens: int) -> dict[str, Any]:
    """Models by the size of their windows."""
    return {
        f"{name}/m": {"context_window": most} for name, most in zip(("first", "second", "third"), tokens, strict=True)
    }


@scenario(7)
def test_what_is_too_long_for_one_model_goes_to_a_larger_one_only() -> None:
    first, second, third = Upstream(TOO_LONG), Upstream(says()), Upstream(says())

    with gateway(first, second, third, models=windows(100_000, 50_000, 200_000)) as server:
        response = server.answer(fallback_models=OTHERS)

    assert attempts_of(response.route) == [("first", "CONTEXT_TOO_LONG"), ("third", "")]
    assert second.requests == []


@scenario(7)
def test_what_is_too_long_for_the_largest_is_refused() -> None:
    first, second, third = Upstream(TOO_LONG), Upstream(says()), Upstream(says())

    with gateway(first, second, third, models=windows(100_000, 50_000, 100_000)) as server:
        failure = server.refused(fallback_models=OTHERS)

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "CONTEXT_TOO_LONG")
    assert len(first.requests) == 1
    assert second.requests == third.requests == []


@scenario(7)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_what_a_filter_blocked_is_shown_to_nobody_else(is_streamed: bool, wire: str) -> None:
    blocked = BLOCKED if wire == "chat_completions" else refuses(400, "Output blocked by content filtering policy")
    first, second = Upstream(blocked, wire=wire), Upstream(says())

    with gateway(first, second) as server:
        failure = (server.interrupted if is_streamed else server.refused)(fallback_models=NEXT)

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "CONTENT_BLOCKED")
    assert len(first.requests) == 1
    assert second.requests == []


@scenario(7)
def test_what_is_wrong_with_a_request_is_wrong_everywhere() -> None:
    first, second = Upstream(refuses(400, "Bad.")), Upstream(says())

    with gateway(first, second) as server:
        failure = server.refused(fallback_models=NEXT)

    assert failure.reason == "PROVIDER_REJECTED_REQUEST"
    assert (len(first.requests), len(second.requests)) == (1, 0)


@scenario(25)
def test_a_fallback_that_cannot_do_what_is_needed_is_passed_over_with_a_warning() -> None:
    first, second, third = Upstream(refuses(401)), Upstream(says()), Upstream(says())
    toolless = {"second/m": {"capabilities": {"tool_calling": "none"}}}

    with gateway(first, second, third, models=toolless) as server:
        response = server.answer(fallback_models=OTHERS, tools=[TOOL])

    assert text_of(response) == TEXT
    assert attempts_of(response.route) == [("first", "PROVIDER_CREDENTIALS_INVALID"), ("third", "")]
    assert second.requests == []
    assert any(warning.field.startswith("fallback_models") for warning in response.warnings)


@scenario(25)
def test_the_first_fault_is_the_one_told_with_every_attempt() -> None:
    first, second = Upstream(refuses(500)), Upstream(refuses(400, "No such field."))

    with gateway(first, second) as server:
        failure = server.refused(fallback_models=NEXT)

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_ERROR")
    assert failure.attempts == [*[("first", "PROVIDER_ERROR")] * 3, ("second", "PROVIDER_REJECTED_REQUEST")]
