"""Exceptions as the design document constructs them, and as Python's own exceptions."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from aimanager import (
    AIError,
    AIManager,
    AsyncAIManager,
    CircuitOpenError,
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    MissingCredentialsError,
    ProviderError,
    RateLimitError,
    StreamInterruptedError,
)


def test_error_takes_message_solution_and_context() -> None:
    error = AIError("It failed.", "Try again.", provider="claude", region="eu")

    assert (str(error), error.solution, error.provider) == ("It failed.", "Try again.", "claude")
    assert error.context == {"provider": "claude", "region": "eu"}
    assert error.__notes__ == ["Solution: Try again."]


def test_missing_credentials_name_the_variable() -> None:
    error = MissingCredentialsError("claude", "ANTHROPIC_API_KEY")

    assert str(error) == "Missing API key for claude"
    assert error.context == {"provider": "claude", "env_var": "ANTHROPIC_API_KEY"}
    assert "ANTHROPIC_API_KEY" in error.solution


def test_provider_error_keeps_the_original_error() -> None:
    original = ValueError("no content")
    error = ProviderError("claude", original)

    assert (str(error), error.provider) == ("Provider 'claude' error: no content", "claude")
    assert error.original_error is error.context["original_error"] is original
    assert error.solution


def test_rate_limit_error_has_a_delay() -> None:
    error = RateLimitError("Claude", "Rate limit exceeded", retry_after=60)

    assert (str(error), error.provider, error.retry_after) == ("Rate limit exceeded", "Claude", 60)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionFailedError("Refused.", "Start it."), ConnectionError),
        (DeadlineExceededError("Late.", reason="DEADLINE_EXCEEDED"), TimeoutError),
    ],
)
def test_errors_of_the_connection_are_also_those_of_python(error: AIError, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        raise error

    assert str(raised.value) in ("Refused.", "Late.")


@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize(
    "error",
    [
        AIError("It failed.", "Try again.", retry_after=2.0, region="eu"),
        MissingCredentialsError("claude", "ANTHROPIC_API_KEY"),
        ProviderError("claude", ValueError("x")),
        RateLimitError("claude", "Wait.", retry_after=2.0),
        DeadlineExceededError("Late."),
        ConnectionFailedError("Refused."),
        StreamInterruptedError.build("Cut.", context={"reason": "from the server"}),
        CircuitOpenError.build("Open.", "Wait.", retry_after=5.0),
    ],
    ids=lambda error: type(error).__name__ if isinstance(error, AIError) else None,
)
def test_error_can_be_copied_and_pickled(error: AIError, duplicate: Callable[[AIError], AIError]) -> None:
    same = duplicate(error)

    assert type(same) is type(error)
    assert (str(same), same.solution, same.reason, same.retry_after) == (
        str(error),
        error.solution,
        error.reason,
        error.retry_after,
    )
    assert same.__dict__.get("__notes__") == error.__dict__.get("__notes__")


@pytest.mark.parametrize("make", [AIManager, AsyncAIManager])
def test_client_without_a_key_names_the_ways_without_one(make: type[AIManager]) -> None:
    with pytest.raises(ConfigurationError, match="API key is required") as raised:
        make()

    assert "AIManager.gateway(" in raised.value.solution
    assert "AIManager.embedded(" in raised.value.solution


def test_unrelated_keyword_suggests_no_other(ai: AIManager) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'zzz'\.$"):
        ai.request("Hi", zzz=1)  # type: ignore[call-overload]
