"""Makes the mock provider's answers: what was asked, what is said to it, and what that counts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...core.content import Attachment, Effort, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ...core.errors import ProviderRejectedRequest
from ...core.request import Call
from ...core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    TextDelta,
    ToolCallDelta,
)
from ...core.usage import Usage, UsageSource
from .json_sample import sample_of
from .script import Reading, Said, Script, Unseen
from .script_parser import read

STATE = b"mock:"
"""What every provider_state of the mock begins with."""

THINKER = "mock-thinker"
ATTACHMENT_TOKENS = 100
ARGUMENT_CHARACTERS = 8
QUOTED = 200

Delta = TextDelta | ReasoningDelta | ToolCallDelta | ReasoningProgress

_WORD = re.compile(r"\s*\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Question:
    """The last turn in which the user said something, and what came back from tools since.

    `reading` is its script, `round` the number of turns that brought nothing but tool results since; `results` and
    `attachments` are those of the very last turn.
    """

    text: str
    reading: Reading
    round: int = 0
    results: tuple[ToolResult, ...] = ()
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: every delta is a token, as is a sign of thinking, and `finished` comes last."""

    events: tuple[Event, ...]
    finished: Finished

    def usage(self, said: int) -> Usage:
        """What the first `said` tokens took."""
        deltas = [event for event in self.events if not isinstance(event, PartCompleted)][:said]
        thought = sum(isinstance(delta, ReasoningDelta | ReasoningProgress) for delta in deltas)
        return replace(self.finished.usage, output_tokens=len(deltas), reasoning_tokens=thought)


def question_of(call: Call) -> Question:
    """What is being asked. Raises InvalidRequest where a directive in it cannot be read."""
    turns = [message for message in call.messages if message.role is Role.USER]
    round_number, text = 0, ""
    for turn in reversed(turns):
        text = " ".join(part.text for part in turn.parts if isinstance(part, Text))
        if text.strip():
            break
        round_number += any(isinstance(part, ToolResult) for part in turn.parts)
    last = turns[-1].parts if turns else ()
    return Question(
        text,
        read(text),
        round_number,
        tuple(part for part in last if isinstance(part, ToolResult)),
        tuple(part for part in last if isinstance(part, Attachment)),
    )


def state_of(text: str) -> bytes:
    """The signature of a piece of reasoning."""
    return STATE + hashlib.sha256(text.encode()).hexdigest()[:32].encode()


def check_states(call: Call) -> None:
    """Raises ProviderRejected where reasoning of the mock's own came back without its state, or with another."""
    for place, message in enumerate(call.messages):
        for part in message.parts:
            if not isinstance(part, Reasoning):
                continue
            is_own = message.provider == call.target.provider or part.provider_state.startswith(STATE)
            if is_own and part.provider_state != state_of(part.text):
                raise ProviderRejectedRequest(
                    f"The reasoning in message {place} was changed, or its provider_state is not the one it came with.",
                    provider=call.target.provider,
                    model=call.target.model,
                    solution="Send reasoning parts back as they came, text and provider_state both.",
                )


def answer_of(call: Call, question: Question, script: Script) -> Answer:
    """The answer to a question, scripted or not."""
    parts = script.parts
    if all(isinstance(part, Unseen) for part in parts):
        parts = (*parts, *_default(call, question))
    parts, stopped = _until_stop(parts, call.target.sampling.stop_sequences)
    events, is_whole = _events(parts, call)
    reason = FinishReason.STOP
    if any(isinstance(event, ToolCallDelta) for event in events):
        reason = FinishReason.TOOL_CALLS
    reason = script.finish or (reason if is_whole else FinishReason.MAX_TOKENS)
    word = "stop_sequence" if stopped and reason is FinishReason.STOP else reason.value
    counted = Usage(_input_tokens(call), source=UsageSource.REPORTED)
    answer = Answer(events, Finished(reason, word, counted))
    usage = script.usage or answer.usage(len(events))
    return replace(answer, finished=replace(answer.finished, usage=usage))


def tokens(text: str, size: int = 0) -> list[str]:
    """The pieces a text is said in: its words, or pieces of `size` characters. Joined they are the text.

    >>> tokens("Hello  there, you"), tokens('{"city": "Rome"}', 8)
    (['Hello  ', 'there, ', 'you'], ['{"city":', ' "Rome"}'])
    """
    if size:
        return [text[start : start + size] for start in range(0, len(text), size)]
    return _WORD.findall(text)


def _events(parts: tuple[Said, ...], call: Call) -> tuple[tuple[Event, ...], bool]:
    """The events of the parts, and whether the token limit left them whole."""
    left = call.target.sampling.max_output_tokens
    events: list[Event] = []
    index = 0
    for part in parts:
        deltas = list(_deltas(part, index, f"call_{len(call.messages)}_{index}"))
        said = deltas if left is None else deltas[:left]
        events += said
        if said and not isinstance(said[0], ReasoningProgress):
            events.append(PartCompleted(index, _part(said)))
            index += 1
        if len(said) < len(deltas):
            return tuple(events), False
        left = None if left is None else left - len(said)
    return tuple(events), True


def _deltas(part: Said, index: int, call_id: str) -> Iterator[Delta]:
    if isinstance(part, Unseen):
        yield from (ReasoningProgress() for _ in range(part.tokens))
    elif isinstance(part, ToolCall):
        yield ToolCallDelta(index, call_id, part.name, "")
        for piece in tokens(part.arguments_json, ARGUMENT_CHARACTERS):
            yield ToolCallDelta(index, "", "", piece)
    else:
        delta = TextDelta if isinstance(part, Text) else ReasoningDelta
        for piece in tokens(part.text):
            yield delta(index, piece)


def _part(deltas: list[Delta]) -> Part:
    first = deltas[0]
    if isinstance(first, ToolCallDelta):
        arguments = "".join(delta.arguments_json for delta in deltas if isinstance(delta, ToolCallDelta))
        return ToolCall(first.id, first.name, arguments)
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta | ReasoningDelta))
    return Text(text) if isinstance(first, TextDelta) else Reasoning(text, provider_state=state_of(text))


def _until_stop(parts: tuple[Said, ...], stop_sequences: tuple[str, ...]) -> tuple[tuple[Said, ...], bool]:
    """The parts up to the first stop sequence in a text, and whether there was one."""
    for place, part in enumerate(parts):
        text = part.text if isinstance(part, Text) else ""
        found = [text.index(stop) for stop in stop_sequences if stop and stop in text]
        if found:
            return (*parts[:place], Text(text[: min(found)])), True
    return parts, False


def _default(call: Call, question: Question) -> tuple[Said, ...]:
    reasoning = (Reasoning(_thoughts(question)),) if _reasons(call) else ()
    if call.output_format is not None:
        return (*reasoning, Text(sample_of(call.output_format)))
    return (*reasoning, Text(_quoted(question) if question.results else _echo(call, question)))


def _reasons(call: Call) -> bool:
    asked = call.target.reasoning
    if asked.effort is None:
        return call.target.model == THINKER or asked.include or asked.budget_tokens is not None
    return asked.effort is not Effort.NONE


def _thoughts(question: Question) -> str:
    count = len(tokens(question.reading.rest))
    return f"The question has {count} words. No model is behind me, so I say it back and explain myself."


def _echo(call: Call, question: Question) -> str:
    said = f'You said: "{_short(question.reading.rest)}"' if question.reading.rest else "You said nothing"
    names = ", ".join(attachment.filename or attachment.mime_type for attachment in question.attachments)
    attached = f" You attached {names}." if names else ""
    return (
        f"This is {call.target.model}, a stand-in that needs no key and always answers the same. {said}.{attached} "
        "A real model would take it from here."
    )


def _quoted(question: Question) -> str:
    return " ".join(_quote(result) for result in question.results)


def _quote(result: ToolResult) -> str:
    verb = "failed" if result.is_error else "answered"
    return f'The tool {result.name or result.tool_call_id} {verb}: "{_short(result.output)}".'


def _short(text: str) -> str:
    return text if len(text) <= QUOTED else text[: QUOTED - 1] + "…"


def _input_tokens(call: Call) -> int:
    said = len(tokens(call.system_instruction))
    return said + sum(_size(part) for message in call.messages for part in message.parts)


def _size(part: Part) -> int:
    match part:
        case Text() | Reasoning():
            return len(tokens(part.text))
        case Attachment():
            return ATTACHMENT_TOKENS
        case ToolCall():
            return 1 + len(tokens(part.arguments_json, ARGUMENT_CHARACTERS))
        case ToolResult():
            return len(tokens(part.output)) + ATTACHMENT_TOKENS * len(part.attachments)
