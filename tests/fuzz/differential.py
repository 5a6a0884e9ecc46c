"""Compare what the wires and the vendors' SDKs read from mutated recordings: the same answer, or an error of the wire.

Usage: make fuzz [SECONDS=10] [ARGS="--seed 7 --case 1234"]. Seed and number determine a case, so that a failing one
can be run again.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from time import monotonic

from aimanager_server.core.errors import GatewayError
from tests.fuzz.intentional_differences import Comparison, intentional_difference
from tests.fuzz.mutations import mutated_events, with_other_value
from tests.support.chat_completions import VENDORS, recorded
from tests.support.recordings import BODIES, STREAMS, WIRES
from tests.support.reference_decoders.answer import ReferenceAnswer, answer_of
from tests.support.reference_decoders.anthropic_sdk import AnthropicReference
from tests.support.reference_decoders.gemini_sdk import GeminiReference
from tests.support.reference_decoders.openai_sdk import OpenAIReference

Decode = Callable[[bytes], ReferenceAnswer]


class Verdict(StrEnum):
    """How the two answers of a case compare."""

    SAME = "same answer"
    REJECTED = "error of the wire"
    UNREADABLE = "read by the wire, error of the SDK"
    INTENTIONAL = "intentional difference"
    DIFFERENT = "silent difference"


@dataclass(frozen=True, slots=True)
class Case:
    """A response to decode: the path of its recording below the fixtures, whose folder selects the wire."""

    name: str
    data: bytes

    @property
    def folder(self) -> str:
        """The folder of the recordings of the wire."""
        return self.name.partition("/")[0]

    @property
    def is_stream(self) -> bool:
        """Whether the response is streamed."""
        return self.name.endswith(".sse")


class Differential:
    """Decode cases with the wires and the SDKs, whose clients are created once."""

    def __init__(self) -> None:
        openai, anthropic, gemini = OpenAIReference(), AnthropicReference(), GeminiReference()
        chat = (openai.chat_completion, openai.chat_completion_stream)
        self._decoders: Mapping[str, tuple[Decode, Decode]] = {
            **dict.fromkeys(VENDORS, chat),
            "anthropic": (anthropic.message, anthropic.message_stream),
            "gemini": (gemini.content, gemini.content_stream),
            "responses": (openai.response, openai.response_stream),
        }

    def compare(self, case: Case) -> tuple[Verdict, str]:
        """Return the verdict, with the reason of an intentional difference or the fields of a silent one."""
        try:
            here = self.decode_here(case)
        except GatewayError as error:
            return Verdict.REJECTED, error.message
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Pydantic, about values of the wrong type
                there = self._decoders[case.folder][case.is_stream](case.data)
        except Exception as error:
            # The SDKs raise whatever their code runs into: TypeError, IndexError, their own errors.
            return Verdict.UNREADABLE, repr(error)
        comparison = Comparison(case.folder, case.is_stream, case.data, here, there)
        if not comparison.differing:
            return Verdict.SAME, ""
        reason = intentional_difference(comparison)
        if reason:
            return Verdict.INTENTIONAL, reason
        fields = [f"{name}: {getattr(here, name)!r} != {getattr(there, name)!r}" for name in comparison.differing]
        return Verdict.DIFFERENT, "; ".join(fields)

    def decode_here(self, case: Case) -> ReferenceAnswer:
        """Return what the wire reads. Raises GatewayError."""
        wire = WIRES[case.folder]
        if not case.is_stream:
            return answer_of(wire.decode(case.data))
        reader = wire.stream_reader()
        return answer_of([*reader.feed(case.data), *reader.end()])


def recorded_cases() -> list[Case]:
    """Return every recorded response."""
    return [Case(name, recorded(name)) for _, name in (*STREAMS, *BODIES)]


def random_case(random: Random) -> Case:
    """Return a mutated recording."""
    folder, name = random.choice((*STREAMS, *STREAMS, *BODIES))
    same_wire = [other for other_folder, other in (*STREAMS, *BODIES) if other_folder == folder]
    other = recorded(random.choice([other for other in same_wire if other.endswith(name[-4:])]))
    if name.endswith(".sse"):
        return Case(name, mutated_events(recorded(name), other, random))
    data = recorded(name)
    for _ in range(random.choice((1, 1, 2, 4))):
        data = with_other_value(data, other, random)
    return Case(name, data)


def fuzz(seconds: float, seed: int, only: int | None = None) -> tuple[Counter[Verdict], str]:
    """Return the verdicts within that time, and the defect of the last case; empty without a defect."""
    differential, verdicts, until = Differential(), Counter[Verdict](), monotonic() + seconds
    for number in range(10**9) if only is None else [only]:
        case = random_case(Random(f"{seed}/{number}"))
        verdict, what = differential.compare(case)
        verdicts[verdict] += 1
        if verdict is Verdict.DIFFERENT:
            return verdicts, f"--seed {seed} --case {number}: {case.name}: {what}\n{case.data[:4000].decode()}"
        if monotonic() > until:
            break
    return verdicts, ""


def main(arguments: list[str]) -> int:
    """Run the comparison and return the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, default=None)
    given = parser.parse_args(arguments)
    verdicts, defect = fuzz(given.seconds, given.seed, given.case)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    print(f"fuzz: SDKs: {defect or counts}", file=sys.stderr if defect else sys.stdout)
    return 1 if defect else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
