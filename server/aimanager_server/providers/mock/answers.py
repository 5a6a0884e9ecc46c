"""Build the responses of the mock provider: parse the prompt, choose the content, count the tokens."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ...core.content import Attachment, Effort, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ...core.errors import ProviderRejectedRequest
from ...core.request import Attempt
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
from .json_sample import sample_json
from .script import HiddenReasoning, ParsedScript, Script, ScriptPart
from .script_parser import parse_script

STATE_PREFIX = b"mock:"
"""The start of every provider_state of the mock provider."""

REASONING_MODEL = "mock-thinker"
TOKENS_PER_ATTACHMENT = 100
CHARACTERS_PER_ARGUMENT_TOKEN = 8
MAX_QUOTE_LENGTH = 200

Delta = TextDelta | ReasoningDelta | ToolCallDelta | ReasoningProgress

_WORD = re.compile(r"\s*\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The last user message with text, and the tool results since then.

    `tool_round` is the number of later user messages that contain only tool results. `tool_results` and `attachments`
    are those of the last user message.
    """

    text: str
    script: ParsedScript
    tool_round: int = 0
    tool_results: tuple[ToolResult, ...] = ()
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class MockResponse:
    """A whole response. Each delta and each `ReasoningProgress` in `events` is one token; `finished` follows them."""

    events: tuple[Event, ...]
    finished: Finished

    def usage(self, emitted_tokens: int) -> Usage:
        """Return the usage after the first `emitted_tokens` tokens."""
        deltas = [event for event in self.events if not isinstance(event, PartCompleted)][:emitted_tokens]
        reasoning_tokens = sum(isinstance(delta, ReasoningDelta | ReasoningProgress) for delta in deltas)
        return replace(self.finished.usage, output_tokens=len(deltas), reasoning_tokens=reasoning_tokens)


def parse_prompt(attempt: Attempt[Any]) -> Prompt:
    """Return the prompt of a call. Raises InvalidRequest if it contains a malformed directive."""
    user_messages = [message for message in attempt.messages if message.role is Role.USER]
    tool_round, text = 0, ""
    for message in reversed(user_messages):
        text = " ".join(part.text for part in message.parts if isinstance(part, Text))
        if text.strip():
            break
        tool_round += any(isinstance(part, ToolResult) for part in message.parts)
    last_parts = user_messages[-1].parts if user_messages else ()
    return Prompt(
        text,
        parse_script(text),
        tool_round,
        tuple(part for part in last_parts if isinstance(part, ToolResult)),
        tuple(part for part in last_parts if isinstance(part, Attachment)),
    )


def provider_state_for(text: str) -> bytes:
    """Return the signature of a reasoning text."""
    return STATE_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:32].encode()


def check_provider_states(attempt: Attempt[Any]) -> None:
    """Raise ProviderRejectedRequest if reasoning of the mock provider was modified or lost its provider_state."""
    for index, message in enumerate(attempt.messages):
        for part in message.parts:
            if not isinstance(part, Reasoning):
                continue
            is_own = message.provider == attempt.target.provider or part.provider_state.startswith(STATE_PREFIX)
            if is_own and part.provider_state != provider_state_for(part.text):
                raise ProviderRejectedRequest(
                    f"messages[{index}]: the reasoning does not match its provider_state.",
                    provider=attempt.target.provider,
                    model=attempt.target.model,
                    solution="Send reasoning parts back unmodified, both text and provider_state.",
                )


def build_response(attempt: Attempt[Any], prompt: Prompt, script: Script) -> MockResponse:
    """Return the scripted response, or the default response if the script has no visible parts."""
    parts = script.parts
    if all(isinstance(part, HiddenReasoning) for part in parts):
        parts = (*parts, *_default_parts(attempt, prompt))
    parts, is_stopped = _apply_stop_sequences(parts, attempt.target.sampling.stop_sequences)
    events, is_complete = _build_events(parts, attempt)
    reason = FinishReason.STOP
    if any(isinstance(event, ToolCallDelta) for event in events):
        reason = FinishReason.TOOL_CALLS
    reason = script.finish or (reason if is_complete else FinishReason.MAX_TOKENS)
    provider_reason = "stop_sequence" if is_stopped and reason is FinishReason.STOP else reason.value
    input_usage = Usage(_input_tokens(attempt), source=UsageSource.REPORTED)
    response = MockResponse(events, Finished(reason, provider_reason, input_usage))
    usage = script.usage or response.usage(len(events))
    return replace(response, finished=replace(response.finished, usage=usage))


def tokenize(text: str, size: int = 0) -> list[str]:
    """Split a text into words, or into pieces of `size` characters. Joined, the tokens equal the text.

    >>> tokenize("Hello  there, you"), tokenize('{"city": "Rome"}', 8)
    (['Hello  ', 'there, ', 'you'], ['{"city":', ' "Rome"}'])
    """
    if size:
        return [text[start : start + size] for start in range(0, len(text), size)]
    return _WORD.findall(text)


def _build_events(parts: tuple[ScriptPart, ...], attempt: Attempt[Any]) -> tuple[tuple[Event, ...], bool]:
    """Return the events of the parts, and whether they fit in `max_output_tokens`."""
    remaining = attempt.target.sampling.max_output_tokens
    events: list[Event] = []
    index = 0
    for part in parts:
        deltas = list(_deltas(part, index, f"call_{len(attempt.messages)}_{index}"))
        emitted = deltas if remaining is None else deltas[:remaining]
        events += emitted
        if emitted and not isinstance(emitted[0], ReasoningProgress):
            events.append(PartCompleted(index, _assemble_part(emitted)))
            index += 1
        if len(emitted) < len(deltas):
            return tuple(events), False
        remaining = None if remaining is None else remaining - len(emitted)
    return tuple(events), True


def _deltas(part: ScriptPart, index: int, call_id: str) -> Iterator[Delta]:
    if isinstance(part, HiddenReasoning):
        yield from (ReasoningProgress() for _ in range(part.tokens))
    elif isinstance(part, ToolCall):
        yield ToolCallDelta(index, call_id, part.name, "")
        for fragment in tokenize(part.arguments_json, CHARACTERS_PER_ARGUMENT_TOKEN):
            yield ToolCallDelta(index, "", "", fragment)
    else:
        delta = TextDelta if isinstance(part, Text) else ReasoningDelta
        for word in tokenize(part.text):
            yield delta(index, word)


def _assemble_part(deltas: list[Delta]) -> Part:
    first = deltas[0]
    if isinstance(first, ToolCallDelta):
        arguments = "".join(delta.arguments_json for delta in deltas if isinstance(delta, ToolCallDelta))
        return ToolCall(first.id, first.name, arguments)
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta | ReasoningDelta))
    return Text(text) if isinstance(first, TextDelta) else Reasoning(text, provider_state=provider_state_for(text))


def _apply_stop_sequences(
    parts: tuple[ScriptPart, ...], stop_sequences: tuple[str, ...]
) -> tuple[tuple[ScriptPart, ...], bool]:
    """Return the parts up to the first stop sequence in a text, and whether one was found."""
    for index, part in enumerate(parts):
        text = part.text if isinstance(part, Text) else ""
        found = [text.index(stop) for stop in stop_sequences if stop and stop in text]
        if found:
            return (*parts[:index], Text(text[: min(found)])), True
    return parts, False


def _default_parts(attempt: Attempt[Any], prompt: Prompt) -> tuple[ScriptPart, ...]:
    reasoning = (Reasoning(_default_reasoning(prompt)),) if _includes_reasoning(attempt) else ()
    if attempt.output_format is not None:
        return (*reasoning, Text(sample_json(attempt.output_format)))
    return (*reasoning, Text(_quote_tool_results(prompt) if prompt.tool_results else _echo(attempt, prompt)))


def _includes_reasoning(attempt: Attempt[Any]) -> bool:
    options = attempt.target.reasoning
    if options.effort is None:
        return attempt.target.model == REASONING_MODEL or options.include or options.budget_tokens is not None
    return options.effort is not Effort.NONE


def _default_reasoning(prompt: Prompt) -> str:
    count = len(tokenize(prompt.script.remaining_text))
    return f"The prompt has {count} words. This is a mock model, so the response repeats the prompt."


def _echo(attempt: Attempt[Any], prompt: Prompt) -> str:
    text = prompt.script.remaining_text
    echo = f'You said: "{_truncate(text)}".' if text else "You said nothing."
    names = ", ".join(attachment.filename or attachment.mime_type for attachment in prompt.attachments)
    attached = f" You attached {names}." if names else ""
    return (
        f"This is {attempt.target.model}, a mock model that needs no API key and always gives the same response. {echo}"
        f"{attached} A real model would answer here."
    )


def _quote_tool_results(prompt: Prompt) -> str:
    return " ".join(_quote(result) for result in prompt.tool_results)


def _quote(result: ToolResult) -> str:
    verb = "failed" if result.is_error else "returned"
    return f'Tool {result.name or result.tool_call_id} {verb}: "{_truncate(result.output)}".'


def _truncate(text: str) -> str:
    return text if len(text) <= MAX_QUOTE_LENGTH else text[: MAX_QUOTE_LENGTH - 1] + "…"


def _input_tokens(attempt: Attempt[Any]) -> int:
    parts = (part for message in attempt.messages for part in message.parts)
    return len(tokenize(attempt.system_instruction)) + sum(map(_part_tokens, parts))


def _part_tokens(part: Part) -> int:
    match part:
        case Text() | Reasoning():
            return len(tokenize(part.text))
        case Attachment():
            return TOKENS_PER_ATTACHMENT
        case ToolCall():
            return 1 + len(tokenize(part.arguments_json, CHARACTERS_PER_ARGUMENT_TOKEN))
        case ToolResult():
            return len(tokenize(part.output)) + TOKENS_PER_ATTACHMENT * len(part.attachments)
