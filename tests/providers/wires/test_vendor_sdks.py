"""The vendors' SDKs as reference decoders: a wire reads the same answer or raises an error, never another answer."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tests.fuzz.differential import Case, Differential, Verdict, random_case, recorded_cases
from tests.fuzz.intentional_differences import INTENTIONAL
from tests.support.reference_decoders.answer import ReferenceAnswer

MUTATIONS = 400
"""Mutated recordings of the tests; `make fuzz` compares more."""

REJECTED_RECORDINGS = {
    *("chat_completions/cut.sse", "chat_completions/error_first.sse", "chat_completions/error_later.sse"),
    *("chat_completions/mistral_error.sse", "chat_completions/openrouter_error.sse"),
    *("chat_completions/vllm_abort.sse", "deepseek/no_resource.sse"),
}
"""Recordings of failures and of a truncated stream."""

UNREADABLE_RECORDINGS = {
    # Tool calls without an index, or counted from 1.
    *("chat_completions/counted_from_one.sse", "chat_completions/gemini_no_index.sse"),
    "chat_completions/neither_index_nor_id.sse",
    # Content that is a list, which OpenAI's SDK cannot join.
    *("chat_completions/mistral_thinking.json", "chat_completions/mistral_tools.json"),
    "chat_completions/mistral_tools.sse",
    # The SDK requests the continuation by itself.
    *("gemini/continuation/response.json", "gemini/continuation/stream.sse"),
}
"""Recordings that the SDK of the wire cannot read, because they come from other servers."""


@pytest.fixture(scope="module")
def differential() -> Differential:
    return Differential()


def test_every_recording_is_read_as_the_sdk_reads_it(differential: Differential) -> None:
    verdicts = {case.name: differential.compare(case) for case in recorded_cases()}

    assert {name: what for name, (verdict, what) in verdicts.items() if verdict is Verdict.DIFFERENT} == {}
    assert {name for name, (verdict, _) in verdicts.items() if verdict is Verdict.REJECTED} == REJECTED_RECORDINGS
    assert {name for name, (verdict, _) in verdicts.items() if verdict is Verdict.UNREADABLE} == UNREADABLE_RECORDINGS
    assert Counter(verdict for verdict, _ in verdicts.values())[Verdict.SAME] >= 90


def test_no_mutated_recording_is_read_differently_in_silence(differential: Differential) -> None:
    verdicts, different = Counter[Verdict](), {}
    for number in range(MUTATIONS):
        case = random_case(Random(f"1/{number}"))
        verdict, what = differential.compare(case)
        verdicts[verdict] += 1
        if verdict is Verdict.DIFFERENT:
            different[number] = f"{case.name}: {what}"

    assert different == {}
    assert verdicts[Verdict.SAME] > MUTATIONS / 4, "the mutations leave too few responses readable"


def test_every_intentional_difference_has_a_reason() -> None:
    reasons = [each.reason for each in INTENTIONAL]

    assert all(reasons)
    assert len(set(reasons)) == len(reasons)


def test_a_silent_difference_would_be_found(differential: Differential) -> None:
    case = next(case for case in recorded_cases() if case.name == "anthropic/text/stream.sse")
    others = Case(case.name, case.data.replace(b"capi", b"kapi"))
    answer = differential.decode_here(case)

    assert isinstance(answer, ReferenceAnswer)
    assert answer != differential.decode_here(others)
    assert differential.compare(case) == (Verdict.SAME, "")
