"""Errors are immutable: code that knows more raises a copy."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.attempts import AttemptLog
from aimanager_server.core.content import Message, Role
from aimanager_server.core.errors import (
    FieldViolation,
    GatewayError,
    InvalidRequest,
    OutputSchemaMismatch,
    ProviderInternalError,
    ProviderUnreachable,
    StreamInterrupted,
    all_errors,
)
from aimanager_server.core.request import Repair
from aimanager_server.core.usage import Cost, Usage, UsageSource
from tests.support.calls import make_attempt

ATTRIBUTES: dict[str, Any] = {
    "message": "failed",
    "solution": "Do something.",
    "provider": "mock",
    "model": "mock-large",
    "retry_after": 2.0,
    "violations": (FieldViolation("model", "is unknown"),),
    "metadata": {"limit": "3"},
    "upstream_status": 503,
    "attempts": (),
    "usage": Usage(1, 2),
    "cost": Cost(3, 4),
}


def raised(error: GatewayError) -> GatewayError:
    """Raise and catch the error, so that it has a cause and a traceback."""
    try:
        raise error from OSError("reset")
    except GatewayError as caught:
        return caught


def test_no_attribute_can_be_assigned() -> None:
    error = raised(InvalidRequest(**ATTRIBUTES))

    assignable = []
    for name in ATTRIBUTES:
        try:
            setattr(error, name, None)
        except AttributeError:
            continue
        assignable.append(name)

    assert assignable == []
    assert {name: getattr(error, name) for name in ATTRIBUTES} == ATTRIBUTES


def test_assignment_says_what_to_do_instead() -> None:
    error = ProviderInternalError("down")

    with pytest.raises(AttributeError, match=r"ProviderInternalError\.usage is immutable; raise a copy"):
        error.usage = Usage(1)


def test_copy_has_the_changes_and_the_original_has_not() -> None:
    error = InvalidRequest(**ATTRIBUTES)

    copy = error.replace(message="still no", provider="other")

    assert {name: getattr(copy, name) for name in ATTRIBUTES} == {
        **ATTRIBUTES,
        "message": "still no",
        "provider": "other",
    }
    assert (type(copy), str(copy), copy.reason) == (InvalidRequest, "still no", "INVALID_FIELD")
    assert (error.message, error.provider) == ("failed", "mock")


def test_copy_keeps_cause_and_traceback() -> None:
    error = raised(StreamInterrupted("cut"))

    copy = error.replace(usage=Usage(1))

    assert copy.__cause__ is error.__cause__
    assert isinstance(copy.__cause__, OSError)
    assert copy.__traceback__ is error.__traceback__
    assert copy.__suppress_context__


def test_copy_of_a_copy_loses_nothing() -> None:
    error = raised(ProviderUnreachable("reset", retry_after=1.0, upstream_status=502))

    copy = error.replace(provider="mock").replace(model="mock-large").replace(usage=Usage(1))

    assert (copy.provider, copy.model, copy.usage) == ("mock", "mock-large", Usage(1))
    assert (copy.retry_after, copy.upstream_status, copy.__cause__) == (1.0, 502, error.__cause__)


def test_every_error_can_be_copied() -> None:
    offenders = [
        kind.__name__
        for kind in all_errors()
        if vars(kind(**ATTRIBUTES).replace(model="x")) != vars(kind(**ATTRIBUTES | {"model": "x"}))
    ]

    assert offenders == []


def test_copy_of_a_schema_mismatch_keeps_its_repair() -> None:
    repair = Repair(make_attempt(), Message(Role.ASSISTANT, ()), ("missing",), Usage(1), None)
    error = OutputSchemaMismatch("missed", repair=repair, provider="mock")

    copy = error.replace(usage=Usage(2))

    assert (copy.repair, copy.provider, copy.usage) == (repair, "mock", Usage(2))


def test_raised_error_accepts_what_python_sets_on_it() -> None:
    error = ProviderInternalError("down")
    error.__cause__ = OSError("reset")
    error.__cause__ = OSError("reset again")
    error.add_note("seen in a test")

    assert str(error.__cause__) == "reset again"
    assert error.replace(model="x").__cause__ is error.__cause__


def test_error_with_attempts_has_all_of_the_call_and_their_total_usage() -> None:
    log = AttemptLog()
    for usage, cost in ((Usage(5, 3, source=UsageSource.ESTIMATED), Cost(1, 1)), (None, None), (Usage(1), Cost(2, 2))):
        log.start("mock", "mock-large", 0.0).end(1.0, "STREAM_INTERRUPTED", usage, cost)
    error = raised(StreamInterrupted("cut", usage=Usage(1)))

    complete = error.with_attempts(log)

    assert complete.attempts == tuple(log.records)
    assert complete.usage is not None
    assert (complete.usage.input_tokens, complete.usage.output_tokens) == (6, 3)
    assert (complete.cost, complete.__cause__) == (Cost(3, 3), error.__cause__)
    assert error.attempts == ()


def test_error_keeps_its_own_usage_if_no_attempt_has_any() -> None:
    log = AttemptLog()
    log.start("mock", "mock-large", 0.0).end(1.0, "PROVIDER_ERROR")

    complete = ProviderInternalError("down", usage=Usage(7), cost=Cost(1, 1)).with_attempts(log)

    assert (complete.usage, complete.cost, len(complete.attempts)) == (Usage(7), Cost(1, 1), 1)
