"""Parse the script language of the mock provider, which `provider` documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...core.content import Reasoning, Text, ToolCall
from ...core.errors import FieldViolation, InvalidRequest, all_errors
from ...core.response import FinishReason
from ...core.usage import Usage, UsageSource
from .script import HiddenReasoning, InjectedError, InjectedFault, ParsedScript, Script, ScriptPart

DIRECTIVES: dict[str, str] = {
    "reply": "[[reply: Hello]]",
    "words": "[[words: 200]]",
    "reasoning": "[[reasoning: I think]]",
    "think": "[[think: 5]]",
    "tool": '[[tool: get_weather {"city": "Rome"}]]',
    "then": "[[then]]",
    "rate": "[[rate: 50]]",
    "latency": "[[latency: 0.2 times=1]]",
    "error": "[[error: PROVIDER_RATE_LIMITED retry_after=2 times=1]]",
    "cut": "[[cut: 3 times=1]]",
    "stall": "[[stall: 3 seconds=2 times=1]]",
    "finish": "[[finish: max_tokens]]",
    "usage": "[[usage: 10/20 cache_read=4 cache_write=2 reasoning=5]]",
}
"""An example of every directive, by name."""

MAX_WORDS = 1_000_000
MAX_COUNT = 999_999_999

_OPENING = re.compile(r"\[\[([a-z_]+)(?=:|\]\])")


def parse_script(text: str, *, text_is_reply: bool = False) -> ParsedScript:
    """Parse the directives in a text. With `text_is_reply`, the text between them becomes replies.

    Raises InvalidRequest for an unknown or malformed directive.

    >>> parse_script("Hi [[reply: Hello]][[finish: refusal]]").rounds[0].finish
    <FinishReason.REFUSAL: 'refusal'>
    >>> parse_script("Sunny. [[rate: 50]]", text_is_reply=True).rounds[0].parts
    (Text(text='Sunny.', provider_state=b''),)
    """
    rounds, remaining = [Script()], []
    for name, value in _tokens(text):
        if name == "then":
            rounds.append(Script())
        elif name:
            rounds[-1] = _PARSERS[name](rounds[-1], value)
        elif text_is_reply and value.strip():
            rounds[-1] = _with_part(rounds[-1], Text(value.strip()))
        else:
            remaining.append(value)
    return ParsedScript(tuple(rounds), "".join(remaining).strip())


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield directives as (name, value), and the text between them with an empty name."""
    position = 0
    while opening := _OPENING.search(text, position):
        yield "", text[position : opening.start()]
        end = _find_closing(text, opening.end())
        name, has_no_value = opening[1], end == opening.end()
        if has_no_value and name not in DIRECTIVES:
            yield "", text[opening.start() : end + 2]
        elif name not in DIRECTIVES:
            raise _unknown(name)
        elif end < 0:
            raise _malformed(name, "closing ']]' is missing (brackets inside must be balanced)")
        else:
            yield name, text[opening.end() + 1 : end].strip()
        position = end + 2
    yield "", text[position:]


def _find_closing(text: str, start: int) -> int:
    """Return the position of the ']]' that closes a directive, -1 if missing. Brackets inside are balanced."""
    depth = 0
    for position in range(start, len(text)):
        if depth == 0 and text.startswith("]]", position):
            return position
        depth += {"[": 1, "]": -1}.get(text[position], 0)
    return -1


def _with_part(script: Script, part: ScriptPart) -> Script:
    return replace(script, parts=(*script.parts, part))


def _words(script: Script, value: str) -> Script:
    count = _parse_size("words", value)
    return _with_part(script, Text(" ".join(f"word{number}" for number in range(1, count + 1))))


def _tool(script: Script, value: str) -> Script:
    name, _, arguments = value.partition(" ")
    if not name:
        raise _malformed("tool", "tool name is missing")
    return _with_part(script, ToolCall("", name, arguments.strip() or "{}"))


def _error(script: Script, value: str) -> Script:
    reason, options = _parse_options("error", value, {"retry_after": _parse_seconds, "times": _parse_count})
    error_types = {error_type.spec.reason: error_type for error_type in all_errors()}
    if reason not in error_types:
        raise _malformed("error", f"{reason!r} is not one of {', '.join(sorted(error_types))}")
    return replace(script, errors=(*script.errors, InjectedError(error_types[reason], **options)))


def _latency(script: Script, value: str) -> Script:
    seconds, options = _parse_options("latency", value, {"times": _parse_count})
    return replace(script, latency=InjectedFault(seconds=_parse_seconds("latency", seconds), **options))


def _cut(script: Script, value: str) -> Script:
    after_tokens, options = _parse_options("cut", value, {"times": _parse_count})
    return replace(script, cut=InjectedFault(_parse_count("cut", after_tokens), **options))


def _stall(script: Script, value: str) -> Script:
    after_tokens, options = _parse_options("stall", value, {"seconds": _parse_seconds, "times": _parse_count})
    return replace(script, stall=InjectedFault(_parse_count("stall", after_tokens), **options))


def _finish(script: Script, value: str) -> Script:
    if value not in set(FinishReason):
        raise _malformed("finish", f"{value!r} is not one of {', '.join(FinishReason)}")
    return replace(script, finish=FinishReason(value))


def _usage(script: Script, value: str) -> Script:
    known = dict.fromkeys(("cache_read", "cache_write", "reasoning"), _parse_count)
    totals, options = _parse_options("usage", value, known)
    input_tokens, _, output_tokens = totals.partition("/")
    details = {f"{name}_tokens": count for name, count in options.items()}
    usage = Usage(
        _parse_count("usage", input_tokens),
        _parse_count("usage", output_tokens),
        **details,
        source=UsageSource.REPORTED,
    )
    return replace(script, usage=usage)


def _rate(script: Script, value: str) -> Script:
    rate = _parse_seconds("rate", value)
    if not rate:
        raise _malformed("rate", "rate must be greater than 0")
    return replace(script, rate=rate)


def _parse_options(name: str, value: str, known: Mapping[str, Callable[[str, str], Any]]) -> tuple[str, dict[str, Any]]:
    """Return the first word of a value, and the `key=value` words after it."""
    first, *words = value.split() or [""]
    options = {}
    for word in words:
        key, _, option = word.partition("=")
        if key not in known:
            raise _malformed(name, f"{key!r} is not one of {', '.join(known)}")
        options[key] = known[key](name, option)
    return first, options


def _parse_size(name: str, value: str) -> int:
    count = _parse_count(name, value)
    if count > MAX_WORDS:
        raise _malformed(name, f"must be at most {MAX_WORDS}, got {count}")
    return count


def _parse_count(name: str, value: str) -> int:
    if not value.isdecimal() or len(value) > len(str(MAX_COUNT)):
        raise _malformed(name, f"must be an integer from 0 to {MAX_COUNT}, got {value!r}")
    return int(value)


def _parse_seconds(name: str, value: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        raise _malformed(name, f"must be a number such as 2 or 0.5, got {value!r}")
    return float(value)


_PARSERS: dict[str, Callable[[Script, str], Script]] = {
    "reply": lambda script, value: _with_part(script, Text(value)),
    "words": _words,
    "reasoning": lambda script, value: _with_part(script, Reasoning(value)),
    "think": lambda script, value: _with_part(script, HiddenReasoning(_parse_size("think", value))),
    "tool": _tool,
    "rate": _rate,
    "latency": _latency,
    "error": _error,
    "cut": _cut,
    "stall": _stall,
    "finish": _finish,
    "usage": _usage,
}


def _unknown(name: str) -> InvalidRequest:
    return _invalid(f"must contain known mock directives only, got {name!r}; known: {', '.join(DIRECTIVES.values())}")


def _malformed(name: str, reason: str) -> InvalidRequest:
    return _invalid(f"must contain valid mock directives only; {name!r}: {reason} (example: {DIRECTIVES[name]})")


def _invalid(description: str) -> InvalidRequest:
    return InvalidRequest(
        f"messages {description}.",
        violations=(FieldViolation("messages", description),),
        solution="Correct or remove the directive between [[ and ]].",
    )
