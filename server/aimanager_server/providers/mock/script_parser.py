"""Reads the small language the mock provider is scripted in; `mock` documents it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ...core.content import Reasoning, Text, ToolCall
from ...core.errors import FieldViolation, InvalidRequest, all_errors
from ...core.response import FinishReason
from ...core.usage import Usage, UsageSource
from .script import Failure, Reading, Said, Script, Trouble, Unseen

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
"""Every directive, by an example of it."""

MOST_WORDS = 1_000_000

_OPENING = re.compile(r"\[\[([a-z_]+)(?=:|\]\])")


def read(text: str, *, speaks: bool = False) -> Reading:
    """The script in a text. Where it `speaks`, the words around the directives are replies, else they are `rest`.

    Raises InvalidRequest for a directive that is unknown or cannot be read.

    >>> read("Hi [[reply: Hello]][[finish: refusal]]").rounds[0].finish
    <FinishReason.REFUSAL: 'refusal'>
    >>> read("Sunny. [[rate: 50]]", speaks=True).rounds[0].parts
    (Text(text='Sunny.', provider_state=b''),)
    """
    rounds, rest = [Script()], []
    for name, value in _pieces(text):
        if name == "then":
            rounds.append(Script())
        elif name:
            rounds[-1] = _READERS[name](rounds[-1], value)
        elif speaks and value.strip():
            rounds[-1] = _say(rounds[-1], Text(value.strip()))
        else:
            rest.append(value)
    return Reading(tuple(rounds), "".join(rest).strip())


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Directives as name and value, and the text between them under no name."""
    position = 0
    while opening := _OPENING.search(text, position):
        yield "", text[position : opening.start()]
        end = _closing(text, opening.end())
        name, bare = opening[1], end == opening.end()
        if bare and name not in DIRECTIVES:
            yield "", text[opening.start() : end + 2]
        elif name not in DIRECTIVES:
            raise _unknown(name)
        elif end < 0:
            raise _unreadable(name, "it is never closed by ']]' (brackets inside have to pair up)")
        else:
            yield name, text[opening.end() + 1 : end].strip()
        position = end + 2
    yield "", text[position:]


def _closing(text: str, start: int) -> int:
    """Where the ']]' is that closes a directive; -1 where there is none. Brackets inside pair up."""
    depth = 0
    for position in range(start, len(text)):
        if depth == 0 and text.startswith("]]", position):
            return position
        depth += {"[": 1, "]": -1}.get(text[position], 0)
    return -1


def _say(script: Script, part: Said) -> Script:
    return replace(script, parts=(*script.parts, part))


def _words(script: Script, value: str) -> Script:
    count = _size("words", value)
    return _say(script, Text(" ".join(f"word{number}" for number in range(1, count + 1))))


def _tool(script: Script, value: str) -> Script:
    name, _, arguments = value.partition(" ")
    if not name:
        raise _unreadable("tool", "it names no tool")
    return _say(script, ToolCall("", name, arguments.strip() or "{}"))


def _error(script: Script, value: str) -> Script:
    reason, options = _options("error", value, {"retry_after": _seconds, "times": _count})
    faults = {fault.spec.reason: fault for fault in all_errors()}
    if reason not in faults:
        raise _unreadable("error", f"{reason!r} is not one of {', '.join(sorted(faults))}")
    return replace(script, failures=(*script.failures, Failure(faults[reason], **options)))


def _latency(script: Script, value: str) -> Script:
    seconds, options = _options("latency", value, {"times": _count})
    return replace(script, latency=Trouble(seconds=_seconds("latency", seconds), **options))


def _cut(script: Script, value: str) -> Script:
    after, options = _options("cut", value, {"times": _count})
    return replace(script, cut=Trouble(_count("cut", after), **options))


def _stall(script: Script, value: str) -> Script:
    after, options = _options("stall", value, {"seconds": _seconds, "times": _count})
    return replace(script, stall=Trouble(_count("stall", after), **options))


def _finish(script: Script, value: str) -> Script:
    if value not in set(FinishReason):
        raise _unreadable("finish", f"{value!r} is not one of {', '.join(FinishReason)}")
    return replace(script, finish=FinishReason(value))


def _usage(script: Script, value: str) -> Script:
    totals, options = _options("usage", value, dict.fromkeys(("cache_read", "cache_write", "reasoning"), _count))
    received, _, said = totals.partition("/")
    extra = {f"{name}_tokens": count for name, count in options.items()}
    usage = Usage(_count("usage", received), _count("usage", said), **extra, source=UsageSource.REPORTED)
    return replace(script, usage=usage)


def _options(name: str, value: str, known: dict[str, Callable[[str, str], Any]]) -> tuple[str, dict[str, Any]]:
    """The first word of a value, and the `key=value` words behind it."""
    first, *words = value.split() or [""]
    options = {}
    for word in words:
        key, _, given = word.partition("=")
        if key not in known:
            raise _unreadable(name, f"{key!r} is not one of {', '.join(known)}")
        options[key] = known[key](name, given)
    return first, options


def _size(name: str, value: str) -> int:
    count = _count(name, value)
    if count > MOST_WORDS:
        raise _unreadable(name, f"{count} is more than {MOST_WORDS}")
    return count


def _count(name: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        raise _unreadable(name, f"{value!r} is not a whole number from 0 to 999999999")
    return int(value)


def _seconds(name: str, value: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        raise _unreadable(name, f"{value!r} is not a number such as 2 or 0.5")
    return float(value)


def _rate(script: Script, value: str) -> Script:
    rate = _seconds("rate", value)
    if not rate:
        raise _unreadable("rate", "it is not above 0")
    return replace(script, rate=rate)


_READERS: dict[str, Callable[[Script, str], Script]] = {
    "reply": lambda script, value: _say(script, Text(value)),
    "words": _words,
    "reasoning": lambda script, value: _say(script, Reasoning(value)),
    "think": lambda script, value: _say(script, Unseen(_size("think", value))),
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
    accepted = ", ".join(DIRECTIVES.values())
    return _invalid(f"The mock provider knows no directive {name!r}. It accepts {accepted}.")


def _unreadable(name: str, why: str) -> InvalidRequest:
    return _invalid(f"The directive {name!r} cannot be read: {why}. It looks like {DIRECTIVES[name]}.")


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(
        message,
        violations=(FieldViolation("messages", message),),
        solution="Correct the directive between [[ and ]], or leave it out.",
    )
