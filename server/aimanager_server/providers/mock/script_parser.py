"""Parse the script language of the mock provider, which `provider` documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from ...core.content import Reasoning, Text, ToolCall
from ...core.errors import GatewayError, all_errors
from ...core.response import FinishReason
from ...core.usage import Usage, UsageSource
from ...validation.violations import quoted
from .pace import Pace
from .script import HiddenReasoning, InjectedError, InjectedFault, ParsedScript, Script, ScriptPart, Words
from .script_scanner import Piece, invalid_script, malformed, scan

MAX_ANSWER_LENGTH = 1_048_576
"""Default limit for the characters of text, reasoning and tool calls that one script describes."""

MAX_HIDDEN_TOKENS = 100_000
"""Tokens of hidden reasoning in one script."""

MAX_DIRECTIVES = 256
MAX_VALUE_LENGTH = 1_000
"""Characters of the value of a directive other than a reply, reasoning or tool call."""

MAX_COUNT = 999_999_999

CONTENT_DIRECTIVES = frozenset(("reply", "reasoning", "tool"))


def parse_script(text: str, *, max_answer_length: int = MAX_ANSWER_LENGTH, text_is_reply: bool = False) -> ParsedScript:
    """Parse the directives in a text at once. With `text_is_reply`, the text between them becomes replies.

    Raises InvalidRequest for an unknown or malformed directive, and for a script beyond a limit.

    >>> parse_script("Hi [[reply: Hello]][[finish: refusal]]").rounds[0].finish
    <FinishReason.REFUSAL: 'refusal'>
    >>> parse_script("Sunny. [[rate: 50]]", text_is_reply=True).rounds[0].parts
    (Text(text='Sunny.', provider_state=b'', cache_hint=None),)
    """
    parser = _ScriptParser(text, max_answer_length, text_is_reply=text_is_reply)
    for _ in parser.steps():
        pass
    return parser.result()


async def parse_untrusted_script(
    text: str, max_answer_length: int, pace: Pace, *, text_is_reply: bool = False
) -> ParsedScript:
    """Parse a text of any length as `parse_script` does, with pauses."""
    parser = _ScriptParser(text, max_answer_length, text_is_reply=text_is_reply)
    for _ in parser.steps():
        if pace.is_due():
            await pace.pause()
    return parser.result()


class _ScriptParser:
    """Parse one text: run `steps` to its end, then read `result`."""

    def __init__(self, text: str, max_answer_length: int, *, text_is_reply: bool) -> None:
        self._text = text
        self._max_answer_length = max_answer_length
        self._text_is_reply = text_is_reply
        self._rounds = [Script()]
        self._remaining: list[str] = []
        self._directives = 0
        self._answer_length = 0
        self._hidden_tokens = 0

    def steps(self) -> Iterator[None]:
        """Parse the text in short steps. Raises InvalidRequest."""
        for piece in scan(self._text):
            if piece is not None:
                self._add(piece)
            yield

    def result(self) -> ParsedScript:
        """Return the parsed script."""
        return ParsedScript(tuple(self._rounds), tuple(self._remaining))

    def _add(self, piece: Piece) -> None:
        name, start, end = piece
        if name:
            self._add_directive(name, start, end)
        elif not self._text_is_reply:
            self._remaining.append(self._text[start:end])
        else:
            self._check_answer_length(end - start)
            value = self._text[start:end].strip()
            if value:
                self._rounds[-1] = self._counted(self._rounds[-1], Text(value))

    def _add_directive(self, name: str, start: int, end: int) -> None:
        self._directives += 1
        if self._directives > MAX_DIRECTIVES:
            raise invalid_script(
                f"must contain at most {MAX_DIRECTIVES} mock directives, got {self._directives} or more"
            )
        if name == "then":
            self._rounds.append(Script())
            return
        start += self._text.startswith(" ", start, end)
        if name in CONTENT_DIRECTIVES:
            self._check_answer_length(end - start)
        elif end - start > MAX_VALUE_LENGTH:
            raise malformed(name, f"must have at most {MAX_VALUE_LENGTH} characters, got {end - start}")
        value = self._text[start:end].strip()
        script = self._rounds[-1]
        if name in _PARTS:
            self._rounds[-1] = self._counted(script, _PARTS[name](value))
        else:
            self._rounds[-1] = replace(script, **_SETTINGS[name](script, value))

    def _counted(self, script: Script, part: ScriptPart) -> Script:
        """Return the script with one more part. Raises InvalidRequest if the answer becomes too long."""
        match part:
            case HiddenReasoning(tokens):
                self._hidden_tokens += tokens
            case Words():
                self._answer_length += part.length
            case ToolCall():
                self._answer_length += len(part.name) + len(part.arguments_json)
            case Text() | Reasoning():
                self._answer_length += len(part.text)
        if self._hidden_tokens > MAX_HIDDEN_TOKENS:
            raise malformed("think", f"must be at most {MAX_HIDDEN_TOKENS} tokens in total, got {self._hidden_tokens}")
        self._check_answer_length(0)
        return replace(script, parts=(*script.parts, part))

    def _check_answer_length(self, added: int) -> None:
        length = self._answer_length + added
        if length > self._max_answer_length:
            raise invalid_script(
                f"must script an answer of at most {self._max_answer_length} characters for the mock provider, "
                f"got {length}"
            )


def _tool(value: str) -> ScriptPart:
    name, _, arguments = value.partition(" ")
    if not name:
        raise malformed("tool", "tool name is missing")
    return ToolCall("", name, arguments.strip() or "{}")


def _error(script: Script, value: str) -> dict[str, Any]:
    reason, options = _parse_options("error", value, {"retry_after": _parse_seconds, "times": _parse_count})
    error_types = _error_types()
    if reason not in error_types:
        raise malformed("error", f"{quoted(reason)} is not one of {', '.join(sorted(error_types))}")
    return {"errors": (*script.errors, InjectedError(error_types[reason], **options))}


@cache
def _error_types() -> Mapping[str, type[GatewayError]]:
    return {error_type.spec.reason: error_type for error_type in all_errors()}


def _latency(script: Script, value: str) -> dict[str, Any]:
    seconds, options = _parse_options("latency", value, {"times": _parse_count})
    return {"latency": InjectedFault(seconds=_parse_seconds("latency", seconds), **options)}


def _cut(script: Script, value: str) -> dict[str, Any]:
    after_tokens, options = _parse_options("cut", value, {"times": _parse_count})
    return {"cut": InjectedFault(_parse_count("cut", after_tokens), **options)}


def _stall(script: Script, value: str) -> dict[str, Any]:
    after_tokens, options = _parse_options("stall", value, {"seconds": _parse_seconds, "times": _parse_count})
    return {"stall": InjectedFault(_parse_count("stall", after_tokens), **options)}


def _finish(script: Script, value: str) -> dict[str, Any]:
    if value not in set(FinishReason):
        raise malformed("finish", f"{quoted(value)} is not one of {', '.join(FinishReason)}")
    return {"finish": FinishReason(value)}


def _usage(script: Script, value: str) -> dict[str, Any]:
    known = dict.fromkeys(("cache_read", "cache_write", "reasoning"), _parse_count)
    totals, options = _parse_options("usage", value, known)
    input_tokens, _, output_tokens = totals.partition("/")
    usage = Usage(
        _parse_count("usage", input_tokens),
        _parse_count("usage", output_tokens),
        **{f"{name}_tokens": count for name, count in options.items()},
        source=UsageSource.REPORTED,
    )
    return {"usage": usage}


def _rate(script: Script, value: str) -> dict[str, Any]:
    rate = _parse_seconds("rate", value)
    if not rate:
        raise malformed("rate", "rate must be greater than 0")
    return {"rate": rate}


def _parse_options(name: str, value: str, known: Mapping[str, Callable[[str, str], Any]]) -> tuple[str, dict[str, Any]]:
    """Return the first word of a value, and the `key=value` words after it."""
    first, *words = value.split() or [""]
    options = {}
    for word in words:
        key, _, option = word.partition("=")
        if key not in known:
            raise malformed(name, f"{quoted(key)} is not one of {', '.join(known)}")
        options[key] = known[key](name, option)
    return first, options


def _parse_count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal()) or len(value) > len(str(MAX_COUNT)):
        raise malformed(name, f"must be an integer from 0 to {MAX_COUNT}, got {quoted(value)}")
    return int(value)


def _parse_seconds(name: str, value: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        raise malformed(name, f"must be a number such as 2 or 0.5, got {quoted(value)}")
    return float(value)


_PARTS: Mapping[str, Callable[[str], ScriptPart]] = {
    "reply": Text,
    "words": lambda value: Words(_parse_count("words", value)),
    "reasoning": Reasoning,
    "think": lambda value: HiddenReasoning(_parse_count("think", value)),
    "tool": _tool,
}

_SETTINGS: Mapping[str, Callable[[Script, str], dict[str, Any]]] = {
    "rate": _rate,
    "latency": _latency,
    "error": _error,
    "cut": _cut,
    "stall": _stall,
    "finish": _finish,
    "usage": _usage,
}
