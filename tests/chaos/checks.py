"""Checks each observation: a documented outcome, and a response that is complete or absent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aimanager.v1 import usage_pb2
from aimanager_server.core.errors import GatewayError
from tests.chaos.clients import Observation
from tests.chaos.fault_injection import is_complete_response, is_response_prefix

TOLERANCE_SECONDS = 0.25
CANCELLED = "CANCELLED"
INTERRUPTED = "STREAM_INTERRUPTED"


def documented_codes() -> dict[str, str]:
    """Return the gRPC status code of each error reason."""
    return {kind.spec.reason: kind.spec.code for kind in _error_types(GatewayError) if hasattr(kind, "spec")}


def _error_types(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _error_types(subclass)


def violations(observations: Iterable[Observation]) -> Iterator[str]:
    """Yield a description of everything that is wrong with the observations."""
    codes = documented_codes()
    for one in observations:
        for wrong in (
            *_wrong_status(one, codes),
            *_wrong_response(one),
            *_wrong_stream(one),
            *_wrong_route(one, codes),
        ):
            yield f"{one.plan.id}: {wrong} [{one.code} {one.reason} {one.message[:120]!r} {one.plan}]"


def _wrong_status(one: Observation, codes: dict[str, str]) -> Iterator[str]:
    if one.code == "OK" or (one.code == "CANCELLED" and one.was_cancelled):
        return
    if one.code == "DEADLINE_EXCEEDED" and not one.reason:
        if one.seconds < one.plan.timeout * 0.95:
            yield f"timeout of {one.plan.timeout:.2f} s expired after {one.seconds:.2f} s"
        return
    if not one.reason:
        yield "status without a reason"
    elif codes.get(one.reason) != one.code:
        yield f"{one.reason} must have status {codes.get(one.reason)}"
    elif one.reason == "INTERNAL_ERROR":
        yield "internal error"
    elif one.reason == "DEADLINE_EXCEEDED" and one.seconds < one.plan.timeout * 0.85 - TOLERANCE_SECONDS:
        yield f"server reported a deadline of {one.plan.timeout:.2f} s as expired after {one.seconds:.2f} s"


def _wrong_response(one: Observation) -> Iterator[str]:
    if one.code == "OK" and one.text is None:
        yield "OK without a response"
    if one.text is not None and not is_complete_response(one.text):
        yield f"partial response {one.text[:200]!r}"
    if one.text is not None and f".{one.plan.prompt}." not in one.text:
        yield f"response to another prompt {one.text[:200]!r}"
    is_reported = one.usage is not None and one.usage.source == usage_pb2.USAGE_SOURCE_REPORTED
    if is_reported and one.usage and one.code == "OK" and one.usage.output_tokens != one.expected_tokens:
        yield f"usage has {one.usage.output_tokens} output tokens, expected {one.expected_tokens}"


def _wrong_stream(one: Observation) -> Iterator[str]:
    if one.sequence != list(range(len(one.sequence))):
        yield f"sequence numbers {one.sequence}"
    if one.event_types.count("started") > 1 or one.event_types.count("completed") > 1:
        yield f"duplicate events: {one.event_types}"
    if "restarted" in one.event_types and not one.plan.restart:
        yield "restarted without the caller's permission"
    if not is_response_prefix(one.streamed_text):
        yield f"deltas of several responses {one.streamed_text[:200]!r}"
    if one.text is not None and one.event_types.count("delta") and one.streamed_text != one.text:
        yield f"deltas have {one.streamed_text[:100]!r}, the response {one.text[:100]!r}"


def _wrong_route(one: Observation, codes: dict[str, str]) -> Iterator[str]:
    attempts = [(attempt.provider, attempt.error_reason) for attempt in one.attempts]
    unknown = {reason for _, reason in attempts} - codes.keys() - {"", CANCELLED}
    if unknown:
        yield f"undocumented reasons of attempts: {unknown}"
    winners = [provider for provider, reason in attempts if not reason]
    if len(winners) != (one.text is not None):
        yield f"{len(winners)} successful attempts: {attempts}"
    elif any((provider, CANCELLED) in race for provider, race in _hedged_races(attempts)):
        yield f"target hedged with itself: {attempts}"
    if winners and attempts[-1] != (winners[0], ""):
        yield f"successful attempt is not the last: {attempts}"


def _hedged_races(attempts: list[tuple[str, str]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each provider that started to respond, with the attempts since the previous one did."""
    race: list[tuple[str, str]] = []
    for provider, reason in attempts:
        race.append((provider, reason))
        if reason in ("", INTERRUPTED):
            yield provider, race
            race = []
