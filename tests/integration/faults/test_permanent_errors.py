"""Permanent errors: which fallbacks may be tried, and which errors end the call."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager.v1 import generation_pb2
from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.gateway import FALLBACK, PROVIDERS, attempts_of, gateway, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import TEXT

TOO_LONG = fails(400, "Too long.", code="context_length_exceeded")
FALLBACKS = ("second/m", "third/m")
TOOL = generation_pb2.Tool(name="look", description="Looks.")


def context_windows(*tokens: int) -> dict[str, Any]:
    """Return [models] settings with the context window of each provider's model."""
    return {f"{name}/m": {"context_window": size} for name, size in zip(PROVIDERS, tokens, strict=True)}


@scenario(7)
def test_context_overflow_falls_back_only_to_a_larger_context_window() -> None:
    first, second, third = Upstream(TOO_LONG), Upstream(responds()), Upstream(responds())

    with gateway(first, second, third, models=context_windows(100_000, 50_000, 200_000)) as server:
        response = server.generate(fallback_models=FALLBACKS)

    assert attempts_of(response.execution) == [("first", "CONTEXT_TOO_LONG"), ("third", "")]
    assert second.requests == []


@scenario(7)
def test_context_overflow_of_the_largest_window_ends_the_call() -> None:
    first, second, third = Upstream(TOO_LONG), Upstream(responds()), Upstream(responds())

    with gateway(first, second, third, models=context_windows(100_000, 50_000, 100_000)) as server:
        failure = server.generate_failure(fallback_models=FALLBACKS)

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "CONTEXT_TOO_LONG")
    assert len(first.requests) == 1
    assert second.requests == third.requests == []


@scenario(7)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_repair_that_exceeds_the_context_window_is_reported_as_a_schema_mismatch(is_streamed: bool) -> None:
    schema = generation_pb2.JsonSchema(name="city", schema_json='{"type": "object", "required": ["city"]}')
    first = Upstream(responds(["{}"]), TOO_LONG)

    with gateway(first, models={"first/m": {"capabilities": {"structured_output": "emulated"}}}) as server:
        failure = server.fail(is_streamed, output_format=generation_pb2.OutputFormat(json_schema=schema))

    assert (failure.code, failure.reason) == ("ABORTED", "OUTPUT_SCHEMA_MISMATCH")
    assert failure.attempts == [("first", "OUTPUT_SCHEMA_MISMATCH"), ("first", "CONTEXT_TOO_LONG")]
    assert "The last attempt failed with CONTEXT_TOO_LONG" in failure.error.details()


@scenario(7)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("wire", "blocked"),
    [
        ("chat_completions", fails(400, "Not that.", code="content_filter")),
        ("anthropic", fails(400, "Output blocked by content filtering policy")),
    ],
    ids=["chat_completions", "anthropic"],
)
def test_blocked_content_is_not_sent_to_a_fallback(wire: str, blocked: Any, is_streamed: bool) -> None:
    first, second = Upstream(blocked, wire=wire), Upstream(responds())

    with gateway(first, second) as server:
        failure = server.fail(is_streamed, fallback_models=FALLBACK)

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "CONTENT_BLOCKED")
    assert len(first.requests) == 1
    assert second.requests == []


@scenario(7)
def test_a_rejected_request_is_not_sent_to_a_fallback() -> None:
    first, second = Upstream(fails(400, "Bad.")), Upstream(responds())

    with gateway(first, second) as server:
        failure = server.generate_failure(fallback_models=FALLBACK)

    assert failure.reason == "PROVIDER_REJECTED_REQUEST"
    assert (len(first.requests), len(second.requests)) == (1, 0)


@scenario(7)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("wire", "unknown"),
    [
        ("chat_completions", fails(400, "Invalid model name passed in model=m. Call `/v1/models`", code="400")),
        ("anthropic", fails(400, "model not found", kind="invalid_request_error")),
    ],
    ids=["litellm", "llama.cpp"],
)
def test_a_model_unknown_to_the_provider_falls_back(wire: str, unknown: Any, is_streamed: bool) -> None:
    first, second = Upstream(unknown, wire=wire), Upstream(responds())

    with gateway(first, second) as server:
        response = server.respond(is_streamed, fallback_models=FALLBACK)
        failure = server.fail(is_streamed)

    assert attempts_of(response.execution) == [("first", "MODEL_NOT_FOUND"), ("second", "")]
    assert (failure.code, failure.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")


@scenario(25)
def test_a_fallback_without_a_required_capability_is_skipped_with_a_warning() -> None:
    first, second, third = Upstream(fails(401)), Upstream(responds()), Upstream(responds())
    without_tools = {"second/m": {"capabilities": {"tool_calling": "none"}}}

    with gateway(first, second, third, models=without_tools) as server:
        response = server.generate(fallback_models=FALLBACKS, tools=[TOOL])

    assert text_of(response) == TEXT
    assert attempts_of(response.execution) == [("first", "PROVIDER_CREDENTIALS_INVALID"), ("third", "")]
    assert second.requests == []
    assert any(warning.field.startswith("fallback_models") for warning in response.warnings)


@scenario(25)
def test_the_first_error_is_reported_with_every_attempt() -> None:
    first, second = Upstream(fails(500)), Upstream(fails(400, "No such field."))

    with gateway(first, second) as server:
        failure = server.generate_failure(fallback_models=FALLBACK)

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_ERROR")
    assert failure.attempts == [*[("first", "PROVIDER_ERROR")] * 3, ("second", "PROVIDER_REJECTED_REQUEST")]
