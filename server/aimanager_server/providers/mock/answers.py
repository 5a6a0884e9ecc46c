"""Choose the answers of the mock provider: what a script says, or the default response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...core.content import Effort, Reasoning, Text, ToolResult
from ...core.request import Attempt
from ...core.response import FinishReason
from ...core.usage import Usage, UsageSource
from .json_sample import sample_json
from .pace import Pace
from .prompt import Prompt, count_input_tokens
from .script import HiddenReasoning, Script, ScriptPart, Words
from .tokens import TokenCounter

REASONING_MODEL = "mock-thinker"
MAX_QUOTE_LENGTH = 200
MAX_QUOTED_RESULTS = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """One response before it is generated.

    `finish` is the scripted reason, None for the natural one; `is_stopped` if a stop sequence was found. `usage` is
    scripted, or counts the prompt only.
    """

    parts: tuple[ScriptPart, ...]
    usage: Usage
    has_scripted_usage: bool = False
    finish: FinishReason | None = None
    is_stopped: bool = False


async def choose_answer(attempt: Attempt[Any], prompt: Prompt, script: Script, pace: Pace) -> Answer:
    """Return the scripted answer, or the default one if the script has no visible parts."""
    parts = script.parts
    if all(isinstance(part, HiddenReasoning) for part in parts):
        parts = (*parts, *await _default_parts(attempt, prompt, pace))
    parts, is_stopped = await _apply_stop_sequences(parts, attempt.target.sampling.stop_sequences, pace)
    usage = script.usage or Usage(await count_input_tokens(attempt, pace), source=UsageSource.REPORTED)
    return Answer(parts, usage, script.usage is not None, script.finish, is_stopped)


async def _apply_stop_sequences(
    parts: tuple[ScriptPart, ...], stop_sequences: tuple[str, ...], pace: Pace
) -> tuple[tuple[ScriptPart, ...], bool]:
    """Return the parts up to the first stop sequence in a text, and whether one was found."""
    for index, part in enumerate(parts if stop_sequences else ()):
        if not isinstance(part, Text | Words):
            continue
        text = part.text if isinstance(part, Text) else await _generated(part, pace)
        end = len(text)
        for stop in filter(None, stop_sequences):
            found = text.find(stop, 0, end)
            end = found if found >= 0 else end
            if pace.is_due():
                await pace.pause()
        if end < len(text):
            return (*parts[:index], Text(text[:end])), True
    return parts, False


async def _generated(words: Words, pace: Pace) -> str:
    collected = []
    for word in words:
        collected.append(word)
        if pace.is_due():
            await pace.pause()
    return "".join(collected)


async def _default_parts(attempt: Attempt[Any], prompt: Prompt, pace: Pace) -> tuple[ScriptPart, ...]:
    reasoning = (Reasoning(await _default_reasoning(prompt, pace)),) if _includes_reasoning(attempt) else ()
    if attempt.output_format is not None:
        return (*reasoning, Text(sample_json(attempt.output_format)))
    return (*reasoning, Text(_quote_tool_results(prompt) if prompt.tool_results else _echo(attempt, prompt)))


def _includes_reasoning(attempt: Attempt[Any]) -> bool:
    options = attempt.target.reasoning
    if options.effort is None:
        return attempt.target.model == REASONING_MODEL or options.include or options.budget_tokens is not None
    return options.effort is not Effort.NONE


async def _default_reasoning(prompt: Prompt, pace: Pace) -> str:
    counter = TokenCounter(pace)
    for piece in prompt.script.remaining:
        await counter.add_text(piece.strip())
    return f"The prompt has {counter.total} words. This is a mock model, so the response repeats the prompt."


def _echo(attempt: Attempt[Any], prompt: Prompt) -> str:
    text = prompt.script.head
    echo = f'You said: "{_truncate(text)}".' if text else "You said nothing."
    names = ", ".join(attachment.filename or attachment.mime_type for attachment in prompt.attachments)
    attached = f" You attached {_truncate(names)}." if names else ""
    return (
        f"This is {attempt.target.model}, a mock model that needs no API key and always gives the same response. {echo}"
        f"{attached} A real model would answer here."
    )


def _quote_tool_results(prompt: Prompt) -> str:
    return " ".join(_quote(result) for result in prompt.tool_results[:MAX_QUOTED_RESULTS])


def _quote(result: ToolResult) -> str:
    verb = "failed" if result.is_error else "returned"
    return f'Tool {_truncate(result.name or result.tool_call_id)} {verb}: "{_truncate(result.output)}".'


def _truncate(text: str) -> str:
    return text if len(text) <= MAX_QUOTE_LENGTH else text[: MAX_QUOTE_LENGTH - 1] + "…"
