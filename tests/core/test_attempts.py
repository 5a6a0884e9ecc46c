"""Records of attempts, and the log that a call and its branches share."""

from __future__ import annotations

from aimanager_server.core.attempts import AttemptLog, AttemptRecord
from aimanager_server.core.usage import Cost, Usage, UsageSource
from tests.support.calls import make_attempt, make_call

KEY = ("mock", "mock-large")


def sent(log: AttemptLog, model: str = "mock-large", usage: Usage | None = None, cost: Cost | None = None) -> None:
    """Add the record of an attempt that was sent and has ended."""
    record = log.start("mock", model, 1000.0)
    record.sent_at = 1000.0
    record.end(1001.0, usage=usage, cost=cost)


def test_only_the_first_end_of_an_attempt_counts() -> None:
    record = AttemptRecord("mock", "mock-large", 1000.0)

    record.end(1001.0, "PROVIDER_ERROR", Usage(1), Cost(1, 0))
    record.end(1002.0, "CANCELLED")

    assert (record.ended_at, record.error_reason) == (1001.0, "PROVIDER_ERROR")
    assert (record.usage, record.cost) == (Usage(1), Cost(1, 0))


def test_rejected_answer_keeps_the_time_and_usage_of_its_end() -> None:
    record = AttemptRecord("mock", "mock-large", 1000.0)
    record.end(1001.0, "", Usage(1))

    record.reject("OUTPUT_SCHEMA_MISMATCH")

    assert (record.error_reason, record.ended_at, record.usage) == ("OUTPUT_SCHEMA_MISMATCH", 1001.0, Usage(1))


def test_duration_ends_with_the_first_content_or_else_with_the_attempt() -> None:
    waiting, answered, failed = (AttemptRecord("mock", "mock-large", 1000.0) for _ in range(3))
    answered.first_content_at = 1002.0
    answered.end(1009.0)
    failed.end(1003.0, "PROVIDER_ERROR")

    assert (waiting.duration, answered.duration, failed.duration) == (0.0, 2.0, 3.0)


def test_log_counts_sent_and_interrupted_attempts_by_target() -> None:
    log = AttemptLog()
    sent(log)
    sent(log)
    sent(log, "mock-small")
    log.start(*KEY, 1002.0).end(1002.0, "CIRCUIT_OPEN")
    log.records[1].is_interrupted = True

    assert log.requests_sent(KEY) == 2
    assert log.requests_sent(("mock", "mock-small")) == 1
    assert log.interruptions(KEY) == 1
    assert log.interruptions(("mock", "mock-small")) == 0


def test_log_sums_usage_and_cost() -> None:
    log = AttemptLog()
    sent(log, usage=Usage(3, 2, source=UsageSource.REPORTED), cost=Cost(1, 2))
    sent(log)
    sent(log, "mock-small", usage=Usage(1, 1, source=UsageSource.ESTIMATED), cost=Cost(3, 4))

    assert log.usage() == Usage(4, 3, source=UsageSource.ESTIMATED)
    assert log.cost() == Cost(4, 6)


def test_unknown_price_of_one_attempt_makes_the_cost_unknown() -> None:
    log = AttemptLog()
    sent(log, usage=Usage(3), cost=Cost(1, 2))
    sent(log, usage=Usage(1))

    assert log.cost() is None


def test_log_without_usage_has_neither_usage_nor_cost() -> None:
    log = AttemptLog()
    sent(log)

    assert (log.usage(), log.cost()) == (None, None)


def test_records_of_a_branch_are_those_of_its_call_too() -> None:
    call_log = AttemptLog()
    first, second = AttemptLog(call_log), AttemptLog(call_log)
    sent(first, usage=Usage(1))
    sent(second, usage=Usage(2))

    assert call_log.records == [*first.records, *second.records]
    assert (first.requests_sent(KEY), call_log.requests_sent(KEY)) == (1, 2)
    assert first.root is second.root is call_log.root is call_log


def test_call_with_other_targets_has_the_same_log() -> None:
    call = make_call()
    make_attempt(call)

    assert call.with_targets(call.target).attempts is call.attempts
    assert len(call.attempts.records) == 1


def test_two_calls_have_separate_logs() -> None:
    call = make_call()
    make_attempt(call)

    assert make_call().attempts.records == []
