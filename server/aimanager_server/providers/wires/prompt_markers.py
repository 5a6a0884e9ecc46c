"""Decide which prefixes of a prompt a request marks, so that the provider caches them.

A write to the cache costs more than reading the prompt once, so a prefix is marked only if a later request will begin
with it: in a conversation, which sends its whole history with every turn, and where the caller says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...catalog.model import PromptCacheSpec
from ...core.content import CacheHint, Message, Part, Reasoning, Role, Text, ToolResult
from ...core.request import Attempt
from ...core.token_estimate import MIN_CHARACTERS_PER_TOKEN, part_characters
from .setting_changes import SettingChanges

HINT = "cache_hint"

Position = tuple[int, int]
"""The index of a message and that of its part."""

TOOLS: Position = (-2, 0)
SYSTEM: Position = (-1, 0)

MAX_REPORTS = 16
"""Warnings about hints in one response: a request may have thousands of parts."""


@dataclass(frozen=True, slots=True)
class Markers:
    """What a wire can mark: tools alone, the end of parts of assistant turns, and a long lifetime."""

    tools: bool = False
    assistant_parts: bool = False
    long: bool = False


@dataclass(frozen=True, slots=True)
class MarkedPrompt:
    """What to mark: the parts of `messages` that have a `cache_hint`, the tools and the system instruction.

    `is_repeated`: later requests are expected to begin with this prompt, even if it is too short to be cached now.
    """

    messages: tuple[Message, ...]
    tools: CacheHint | None = None
    system: CacheHint | None = None
    is_repeated: bool = False

    def of(self, attempt: Attempt[Any]) -> Attempt[Any]:
        """Return the attempt with these messages."""
        return attempt if attempt.messages is self.messages else replace(attempt, messages=self.messages)


@dataclass(frozen=True, slots=True)
class _Boundary:
    """The end of a prefix of `characters`. Those of a lower `rank` are marked first."""

    position: Position
    characters: int
    hint: CacheHint
    rank: tuple[int, int]

    @property
    def is_requested(self) -> bool:
        """Whether the caller marked it."""
        return self.rank[0] == 0

    def is_cached_by(self, spec: PromptCacheSpec) -> bool:
        """Return whether the prefix may be long enough. If it is not after all, the provider ignores the marker."""
        return self.characters // MIN_CHARACTERS_PER_TOKEN >= (spec.min_tokens or 0)


def without_markers(
    attempt: Attempt[Any],
    spec: PromptCacheSpec | None,
    changes: SettingChanges,
    *,
    is_on: bool = True,
    reason: str = "",
) -> MarkedPrompt:
    """Return the prompt without markers, and report the hints that it does not fulfil: for `reason`, if there is one.

    `is_on` is the setting of the provider. A model that caches by itself fulfils a hint that asks for no lifetime.
    """
    messages = attempt.messages
    if attempt.call.cache_hint is None and not _has_hints(messages):
        return MarkedPrompt(messages)
    reason = reason or _why_ignored(attempt, spec, is_on=is_on)
    if reason:
        changes.report(HINT, f"{reason}; the hint was ignored.")
    return MarkedPrompt(_with_hints(messages, {}))


def _why_ignored(attempt: Attempt[Any], spec: PromptCacheSpec | None, *, is_on: bool) -> str:
    parts = [part for message in attempt.call.new_messages for part in message.parts]
    hints = (attempt.call.cache_hint, *(part.cache_hint for part in parts))
    if hints.count(None) == len(hints):
        return ""  # those of earlier turns
    if not is_on:
        return "prompt_cache is switched off for the provider"
    if spec is None:
        return f"{attempt.target.model} is not known to cache prompts"
    if CacheHint.LONG in hints:
        return f"{attempt.target.model} caches prompts by itself, for a time that a request cannot choose"
    return ""


def mark_prompt(
    attempt: Attempt[Any], spec: PromptCacheSpec, markers: Markers, changes: SettingChanges, *, replaced: int = 0
) -> MarkedPrompt:
    """Return what to mark, within the limits of the model. What the caller marked comes first.

    The wire sends something else, such as a compaction, for the first `replaced` messages, which the attempt has no
    more.

    In a conversation these are the end of the newest turn, which the next request reads, the end of the turn before,
    which this request reads, the system instruction and the tools. A provider finds an entry only at a marker or a few
    blocks before one, so the turn before is marked again. The work is linear in the number of parts.
    """
    call, messages = attempt.call, attempt.messages
    has_hints, in_conversation = _has_hints(messages), call.turn is not None
    if not (in_conversation or has_hints or call.cache_hint):
        return MarkedPrompt(messages)
    first_new = len(messages) - len(call.new_messages) if in_conversation else 0
    hinted = list(_hinted(messages, first_new)) if has_hints else []
    requested = [position for position in hinted if _can_mark(messages, position, markers)]
    ends = _ends_of_turns(messages) if in_conversation and not _is_shortened(attempt, replaced) else []
    ranks: dict[Position, tuple[int, int]] = {position: (1 + number, 0) for number, position in enumerate(ends)}
    ranks.update((position, (0, 1 + number)) for number, position in enumerate(reversed(requested)))
    boundaries = [*_fixed_boundaries(attempt, markers), *_part_boundaries(attempt, ranks)]
    long_enough = [one for one in boundaries if one.is_cached_by(spec)]
    chosen = {one.position for one in sorted(long_enough, key=lambda one: one.rank)[: spec.breakpoints]}
    ignored = {position: "The provider cannot mark this part" for position in hinted if position not in ranks}
    ignored |= {
        one.position: _why_not_chosen(one, attempt.target.model, spec)
        for one in boundaries
        if one.is_requested and one.position not in chosen
    }
    if call.cache_hint and not in_conversation and not any(one.position in (TOOLS, SYSTEM) for one in boundaries):
        ignored[SYSTEM] = "The request has no system instruction to be cached"
    _report(ignored, first_new, changes)
    hints = _lifetimes([one for one in boundaries if one.position in chosen], messages, markers, changes)
    marked = _with_hints(messages, hints) if has_hints else _with_added_hints(messages, hints)
    return MarkedPrompt(marked, hints.get(TOOLS), hints.get(SYSTEM), is_repeated=True)


def _has_hints(messages: Sequence[Message]) -> bool:
    return any(part.cache_hint is not None for message in messages for part in message.parts)


def _is_shortened(attempt: Attempt[Any], replaced: int) -> bool:
    """Return whether turns are left out. Another one is with almost every further turn, which changes the prefix."""
    turn = attempt.call.turn
    return (turn is not None and turn.omitted > 0) or len(attempt.messages) + replaced < len(attempt.call.messages)


def _hinted(messages: Sequence[Message], first_new: int) -> Iterator[Position]:
    """Yield the parts that the caller marked in this request; hints of the history belong to earlier ones."""
    for index in range(first_new, len(messages)):
        for number, part in enumerate(messages[index].parts):
            if part.cache_hint is not None:
                yield index, number


def _can_mark(messages: Sequence[Message], position: Position, markers: Markers) -> bool:
    message = messages[position[0]]
    return _has_end(message.parts[position[1]]) and (markers.assistant_parts or message.role is Role.USER)


def _has_end(part: Part) -> bool:
    """Return whether a wire sends the part as something that can be marked."""
    return not isinstance(part, Reasoning) and not (isinstance(part, Text) and not part.text)


def _ends_of_turns(messages: Sequence[Message]) -> list[Position]:
    """Return the ends of the newest user turn and of the one before it."""
    ends: list[Position] = []
    index = len(messages) - 1
    while index >= 0 and len(ends) < 2:
        last = index
        while index >= 0 and messages[index].role is Role.USER:
            index -= 1
        ends += _end_of_turn(messages, index + 1, last)
        while index >= 0 and messages[index].role is not Role.USER:
            index -= 1
    return ends


def _end_of_turn(messages: Sequence[Message], first: int, last: int) -> list[Position]:
    """Return the part that wires send last, if there is one. They send tool results first."""
    result: list[Position] = []
    for index in range(last, first - 1, -1):
        parts = messages[index].parts
        for number in range(len(parts) - 1, -1, -1):
            if not isinstance(parts[number], ToolResult) and _has_end(parts[number]):
                return [(index, number)]
            if not result and isinstance(parts[number], ToolResult):
                result = [(index, number)]
    return result


def _fixed_boundaries(attempt: Attempt[Any], markers: Markers) -> Iterator[_Boundary]:
    """Yield the end of the tools and that of the system instruction, which includes the tools before it."""
    requested, system = attempt.call.cache_hint, attempt.system_instruction
    if requested is None and attempt.call.turn is None:
        return
    hint = requested or CacheHint.SHORT
    if attempt.tools and markers.tools:
        yield _Boundary(TOOLS, _tool_characters(attempt), hint, (0 if requested and not system else 4, 0))
    if system:
        yield _Boundary(SYSTEM, _tool_characters(attempt) + len(system), hint, (0 if requested else 3, 0))


def _tool_characters(attempt: Attempt[Any]) -> int:
    return sum(len(tool.name) + len(tool.description) + len(tool.input_schema_json) for tool in attempt.tools)


def _part_boundaries(attempt: Attempt[Any], ranks: Mapping[Position, tuple[int, int]]) -> Iterator[_Boundary]:
    characters = _tool_characters(attempt) + len(attempt.system_instruction)
    default = attempt.call.cache_hint or CacheHint.SHORT
    marked = {index for index, _ in ranks}
    for index, message in enumerate(attempt.messages):
        if index not in marked:
            characters += sum(map(part_characters, message.parts))
            continue
        for number, part in enumerate(message.parts):
            characters += part_characters(part)
            rank = ranks.get((index, number))
            if rank is not None:
                own = part.cache_hint if rank[0] == 0 else None
                yield _Boundary((index, number), characters, own or default, rank)


def _why_not_chosen(one: _Boundary, model: str, spec: PromptCacheSpec) -> str:
    if not one.is_cached_by(spec):
        return f"{model} caches no prompt below {spec.min_tokens} tokens, and this one has fewer up to here"
    return f"{model} accepts {spec.breakpoints} markers, and later parts have them"


def _report(ignored: Mapping[Position, str], first_new: int, changes: SettingChanges) -> None:
    """Report the hints that are ignored, with the reason of each."""
    for position, reason in list(ignored.items())[:MAX_REPORTS]:
        index, number = position
        field = HINT if index < 0 else f"messages[{index - first_new}].parts[{number}].{HINT}"
        changes.report(field, f"{reason}; the hint was ignored.")
    if len(ignored) > MAX_REPORTS:
        changes.report(HINT, f"{len(ignored) - MAX_REPORTS} more hints were ignored.")


def _lifetimes(
    boundaries: Sequence[_Boundary], messages: Sequence[Message], markers: Markers, changes: SettingChanges
) -> dict[Position, CacheHint]:
    """Return the lifetime of each marker. APIs reject one that is shorter than that of a later marker."""
    hints: dict[Position, CacheHint] = {}
    is_long = False
    for one in sorted(boundaries, key=lambda one: _order(messages, one.position), reverse=True):
        is_long = is_long or one.hint is CacheHint.LONG
        hints[one.position] = CacheHint.LONG if is_long and markers.long else CacheHint.SHORT
    if is_long and not markers.long:
        changes.report(HINT, "This API has one lifetime for cached prompts, the short one; it is used.")
    return hints


def _order(messages: Sequence[Message], position: Position) -> tuple[int, bool, Position]:
    """Return the place of a part in the order in which wires send them: tool results come first in their turn."""
    index, number = position
    if index < 0 or messages[index].role is not Role.USER:
        return index, False, position
    first = index
    while first > 0 and messages[first - 1].role is Role.USER:
        first -= 1
    return first, not isinstance(messages[index].parts[number], ToolResult), position


def _with_hints(messages: tuple[Message, ...], hints: Mapping[Position, CacheHint]) -> tuple[Message, ...]:
    """Return the messages with these hints and no others."""
    without = (
        message
        if all(part.cache_hint is None for part in message.parts)
        else replace(message, parts=tuple(replace(part, cache_hint=None) for part in message.parts))
        for message in messages
    )
    return _with_added_hints(tuple(without), hints)


def _with_added_hints(messages: tuple[Message, ...], hints: Mapping[Position, CacheHint]) -> tuple[Message, ...]:
    changed = list(messages)
    for (index, number), hint in hints.items():
        if index >= 0:
            parts = list(changed[index].parts)
            parts[number] = replace(parts[number], cache_hint=hint)
            changed[index] = replace(changed[index], parts=tuple(parts))
    return tuple(changed)
