"""Judges what each caller saw: one documented end, and never a torn answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aimanager.v1 import usage_pb2
from aimanager_server.core.errors import GatewayError
from tests.chaos.clients import Seen
from tests.chaos.fault_injection import is_begun, is_whole

SLACK_SECONDS = 0.25
CALLED_OFF = "CANCELLED"
BROKEN_OFF = "STREAM_INTERRUPTED"


def table_of_errors() -> dict[str, str]:
    """The gRPC code of each reason."""
    return {kind.spec.reason: kind.spec.code for kind in _kinds(GatewayError) if hasattr(kind, "row")}


def _kinds(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)


def verdicts(all_seen: Iterable[Seen]) -> Iterator[str]:
    """What is wrong with what they saw."""
    codes = table_of_errors()
    for seen in all_seen:
        for wrong in (*_wrong_end(seen, codes), *_wrong_answer(seen), *_wrong_stream(seen), *_wrong_route(seen, codes)):
            yield f"{seen.plan.id}: {wrong} [{seen.code} {seen.reason} {seen.message[:120]!r} {seen.plan}]"


def _wrong_end(seen: Seen, codes: dict[str, str]) -> Iterator[str]:
    if seen.code == "OK" or (seen.code == "CANCELLED" and seen.left):
        return
    if seen.code == "DEADLINE_EXCEEDED" and not seen.reason:
        if seen.seconds < seen.plan.deadline * 0.95:
            yield f"a deadline of {seen.plan.deadline:.2f} s passed after {seen.seconds:.2f} s"
        return
    if not seen.reason:
        yield "ended with a status that gives no reason"
    elif codes.get(seen.reason) != seen.code:
        yield f"the table of errors has {codes.get(seen.reason)} for {seen.reason}"
    elif seen.reason == "INTERNAL_ERROR":
        yield "a bug of ours"
    elif seen.reason == "DEADLINE_EXCEEDED" and seen.seconds < seen.plan.deadline * 0.85 - SLACK_SECONDS:
        yield f"a deadline of {seen.plan.deadline:.2f} s was said to have passed after {seen.seconds:.2f} s"


def _wrong_answer(seen: Seen) -> Iterator[str]:
    if seen.code == "OK" and seen.whole is None:
        yield "OK without an answer"
    if seen.whole is not None and not is_whole(seen.whole):
        yield f"a torn answer {seen.whole[:200]!r}"
    if seen.whole is not None and f".{seen.plan.question}." not in seen.whole:
        yield f"the answer to another question {seen.whole[:200]!r}"
    is_exact = seen.usage is not None and seen.usage.source == usage_pb2.USAGE_SOURCE_REPORTED
    if is_exact and seen.usage and seen.code == "OK" and seen.usage.output_tokens != seen.whole_words:
        yield f"{seen.usage.output_tokens} tokens are told of an answer of {seen.whole_words}"


def _wrong_stream(seen: Seen) -> Iterator[str]:
    if seen.sequence != list(range(len(seen.sequence))):
        yield f"events are numbered {seen.sequence}"
    if seen.kinds.count("started") > 1 or seen.kinds.count("completed") > 1:
        yield f"events come twice: {seen.kinds}"
    if "restarted" in seen.kinds and not seen.plan.restarts:
        yield "restarted, which nobody asked for"
    if not is_begun(seen.shown):
        yield f"torn deltas {seen.shown[:200]!r}"
    if seen.whole is not None and seen.kinds.count("delta") and seen.shown != seen.whole:
        yield f"deltas say {seen.shown[:100]!r}, the answer {seen.whole[:100]!r}"


def _wrong_route(seen: Seen, codes: dict[str, str]) -> Iterator[str]:
    tried = [(one.provider, one.error_reason) for one in seen.attempts]
    unknown = {reason for _, reason in tried} - codes.keys() - {"", CALLED_OFF}
    if unknown:
        yield f"attempts failed for reasons that no table has: {unknown}"
    winners = [provider for provider, reason in tried if not reason]
    if len(winners) != (seen.whole is not None):
        yield f"{len(winners)} attempts are said to have answered: {tried}"
    elif any((provider, CALLED_OFF) in race for provider, race in _races(tried)):
        yield f"a target was raced with itself: {tried}"
    if winners and tried[-1] != (winners[0], ""):
        yield f"the attempt that answered is not the last: {tried}"


def _races(tried: list[tuple[str, str]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Who began to answer, and all that was tried until then since somebody last did."""
    race: list[tuple[str, str]] = []
    for provider, reason in tried:
        race.append((provider, reason))
        if reason in ("", BROKEN_OFF):
            yield provider, race
            race = []
