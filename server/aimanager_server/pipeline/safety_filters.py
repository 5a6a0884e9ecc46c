"""Mask or refuse secrets, personal data and blocked patterns in what a provider receives and in what it answers."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from ..config.errors import StartupError
from ..config.safety_filters import SafetyFilterSettings
from ..core.content import Attachment, JsonSchemaFormat
from ..core.errors import ContentBlocked, FieldViolation, GatewayError
from ..core.handler import CallHandler
from ..core.request import Call
from ..core.response import (
    Event,
    Finished,
    PartCompleted,
    ReasoningDelta,
    ResponseMetadata,
    Restarted,
    SettingWarning,
    TextDelta,
)
from ..core.stream import ResponseStream
from ..core.usage import Usage
from ..safety.error_filter import filter_error
from ..safety.filter_run import TEXT_COST, Blocked, FilterRun, Placeholders
from ..safety.filters import Direction, SafetyFilters
from ..safety.patterns import InvalidPattern
from ..safety.request_filter import filter_bytes, filter_call
from ..safety.response_filter import ResponseFilter
from .attachments import Fetcher

MAX_INLINE_CHARACTERS = 16 * 1024
"""Text that is filtered in the event loop; more is filtered in a thread."""

MAX_WARNINGS = 20

Result = TypeVar("Result")

RunInThread = Callable[[str, Callable[[], Any]], Awaitable[Any]]
"""Runs a function for the caller of this name outside the event loop's thread."""

CountMatches = Callable[[str, Direction, str, int], None]
"""Receives the name of a detector, the direction, the action and a number of places."""


class FilterContent:
    """Filter the requests and the responses of all callers but those that are exempt.

    A request that is refused raises ContentBlocked, which names the detector and the field. A response that is refused
    completes with CONTENT_FILTER. In errors of a call everything is masked that is masked or refused in
    responses. Warnings name what was masked and where. Nothing contains what was found.
    """

    def __init__(
        self, filters: SafetyFilters, run_in_thread: RunInThread, pause: Callable[[float], None], count: CountMatches
    ) -> None:
        self._filters = filters
        self._run_in_thread = run_in_thread
        self._pause = pause
        self._count = count
        self._exempt_callers = frozenset(filters.settings.exempt_callers)

    def __call__(self, call: Call, proceed: CallHandler) -> Awaitable[ResponseStream]:
        """Proceed with the filtered call. Raises ContentBlocked."""
        return proceed(call) if call.caller.name in self._exempt_callers else self._with_filters(call, proceed)

    def filtering(self, fetcher: Fetcher) -> Fetcher:
        """Return a fetcher that filters the text files that it downloads."""

        async def fetch(url: str, mime_type: str, max_bytes: int, field: str, caller: str) -> bytes:
            data = await fetcher(url, mime_type, max_bytes, field, caller)
            if caller in self._exempt_callers or not Attachment(mime_type).is_text:
                return data
            # The placeholders of the call are not known here; those of a file are not numbered.
            run = self._input_run(Placeholders(are_numbered=False))
            return (
                data
                if run is None
                else await self._filter_input(run, lambda: filter_bytes(run, field, data), len(data), caller)
            )

        return fetch

    async def _with_filters(self, call: Call, proceed: CallHandler) -> ResponseStream:
        placeholders = Placeholders()
        warnings: tuple[SettingWarning, ...] = ()
        run = self._input_run(placeholders)
        if run is not None:
            original = call
            call = await self._filter_input(run, lambda: filter_call(run, original), _size(call), call.caller.name)
            warnings = _warnings(run.masked)
        if self._filters.output is None:
            stream = await proceed(call)
            _add_warnings(stream.metadata, warnings)
            return stream
        try:
            stream = await proceed(call)
        except GatewayError as error:
            raise self.filtered_error(error, placeholders) from error.__cause__
        _add_warnings(stream.metadata, warnings)
        return ResponseStream(stream.metadata, _FilteredResponse(self, stream, call, placeholders, warnings))

    def _input_run(self, placeholders: Placeholders) -> FilterRun | None:
        scanner, maximum = self._filters.input, self._filters.settings.max_input_characters
        return None if scanner is None else FilterRun(scanner, placeholders, maximum)

    async def _filter_input(self, run: FilterRun, work: Callable[[], Result], size: int, caller: str) -> Result:
        try:
            result: Result = await self.run(run, work, size, caller)
        except Blocked as blocked:
            self._count(blocked.rule, "input", "block", 1)
            raise _content_blocked(blocked) from None
        self.count_masked(run, "input")
        return result

    async def run(self, run: FilterRun, work: Callable[[], Result], size: int, caller: str) -> Result:
        """Do the work of a run that takes time in proportion to a number of characters."""
        if size <= MAX_INLINE_CHARACTERS:
            return work()
        try:
            result: Result = await self._run_in_thread(caller, lambda: run.in_steps(self._pause, work))
        except asyncio.CancelledError:
            run.abandon()
            raise
        return result

    def response_filter(self, call: Call, placeholders: Placeholders) -> tuple[FilterRun, ResponseFilter]:
        """Return the filter of one response."""
        assert self._filters.output is not None
        maximum = self._filters.settings.max_output_characters
        run = FilterRun(self._filters.output, placeholders, maximum)
        is_json = call.output_format is not None
        return run, ResponseFilter(run, holds_back=self._filters.blocks_output, is_json=is_json)

    def filtered_error(self, error: GatewayError, placeholders: Placeholders) -> GatewayError:
        """Return the error without what is filtered in answers, which it may quote."""
        assert self._filters.output is not None
        return filter_error(self._filters.output, placeholders, error)

    def count_masked(self, run: FilterRun, direction: Direction) -> None:
        """Count what was masked."""
        for rule, places in _by_rule(run.masked).items():
            self._count(rule, direction, "mask", places)

    def count_blocked(self, blocked: Blocked) -> None:
        """Count a response that was blocked."""
        self._count(blocked.rule, "output", "block", 1)


def safety_filter_layers(
    settings: SafetyFilterSettings, run_in_thread: RunInThread, pause: Callable[[float], None], count: CountMatches
) -> tuple[FilterContent, ...]:
    """Return the layer, or none if nothing is filtered. Raises StartupError for a pattern that cannot be used."""
    try:
        filters = SafetyFilters(settings)
    except InvalidPattern as error:
        raise StartupError(str(error)) from None
    if filters.input is None and filters.output is None:
        return ()
    return (FilterContent(filters, run_in_thread, pause, count),)


class _FilteredResponse:
    """The filtered events of a response."""

    def __init__(
        self,
        layer: FilterContent,
        stream: ResponseStream,
        call: Call,
        placeholders: Placeholders,
        warnings: Sequence[SettingWarning],
    ) -> None:
        self._layer = layer
        self._stream = stream
        self._metadata = stream.metadata
        self._caller = call.caller.name
        self._input_warnings = warnings
        self._placeholders = placeholders
        self._run, self._filter = layer.response_filter(call, placeholders)

    @property
    def buffered(self) -> Sequence[Event]:
        """Return nothing: what has arrived is not filtered yet."""
        return ()

    async def read(self) -> list[Event]:
        """Return the next events that are checked. Raises GatewayError."""
        while events := await self._read():
            for event in events:
                if isinstance(event, Restarted):
                    self._metadata = event.metadata
                    _add_warnings(event.metadata, self._input_warnings)
            filtered = await self._filtered(events)
            if self._stream.is_ended:
                self._report()
            if filtered:
                return filtered
        return []

    async def _read(self) -> list[Event]:
        try:
            return await self._stream.read()
        except GatewayError as error:
            raise self._layer.filtered_error(error, self._placeholders) from error.__cause__

    async def aclose(self) -> None:
        """Close the response."""
        await self._stream.aclose()

    def usage_so_far(self) -> Usage | None:
        """Return the usage so far of the response."""
        return self._stream.usage_so_far()

    async def _filtered(self, events: list[Event]) -> list[Event]:
        size = sum(map(_event_size, events)) + self._filter.held_json
        return await self._layer.run(self._run, lambda: self._filter.filter(events), size, self._caller)

    def _report(self) -> None:
        """Add warnings to the completed response, and count."""
        self._layer.count_masked(self._run, "output")
        blocked = self._filter.blocked
        if blocked is not None:
            self._layer.count_blocked(blocked)
            message = f"The safety filter {blocked.rule} blocked the response."
            _add_warnings(self._metadata, (SettingWarning(blocked.field, message),))
        elif self._run.masked:
            _add_warnings(self._metadata, _warnings(self._run.masked))


def _size(call: Call) -> int:
    """Return about how many characters of a call are searched, or any number above MAX_INLINE_CHARACTERS."""
    return sum(TEXT_COST + size for size in islice(_text_sizes(call), MAX_INLINE_CHARACTERS // TEXT_COST + 1))


def _text_sizes(call: Call) -> Iterator[int]:
    yield len(call.system_instruction)
    yield from (len(tool.description) + len(tool.input_schema_json) for tool in call.tools)
    if isinstance(call.output_format, JsonSchemaFormat):
        yield len(call.output_format.schema_json)
    yield from (_part_size(part) for message in call.messages for part in message.parts)
    for target in call.targets:
        yield from map(len, target.sampling.stop_sequences)
        yield from _value_sizes(target.options)


def _value_sizes(value: Any) -> Iterator[int]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield len(str(key))
            yield from _value_sizes(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _value_sizes(each)
    else:
        yield len(value) if isinstance(value, str) else 0


def _part_size(part: Any) -> int:
    names = ("text", "arguments_json", "output", "provider_state", "filename")
    size = sum(len(getattr(part, name, "")) for name in names)
    if isinstance(part, Attachment):
        return size + (len(part.data or b"") if part.is_text else 0)
    return size + sum(_part_size(each) for each in getattr(part, "attachments", ()))


def _event_size(event: Event) -> int:
    if isinstance(event, PartCompleted):
        return _part_size(event.part)
    if isinstance(event, Finished):
        return len(event.structured_json or "")
    return len(event.text) if isinstance(event, TextDelta | ReasoningDelta) else 0


def _content_blocked(blocked: Blocked) -> ContentBlocked:
    """Return the error of a request. It names the rule and the field, never the text."""
    if blocked.rule == "max_characters":
        description = "exceeds safety_filters.max_input_characters together with what precedes it"
    elif blocked.rule == "max_matches":
        description = "contains more places to mask than one request may have"
    else:
        description = f"contains text that the safety filter {blocked.rule} blocks"
    return ContentBlocked(
        f"{blocked.field} {description}.",
        solution="Remove it from the request, or ask the operator of the gateway to permit it.",
        violations=(FieldViolation(blocked.field, description),),
        metadata={"filter": blocked.rule},
    )


def _warnings(masked: Counter[tuple[str, str]]) -> tuple[SettingWarning, ...]:
    """Return one warning for each field, at most MAX_WARNINGS."""
    by_field: defaultdict[str, list[str]] = defaultdict(list)
    for (field, rule), places in masked.items():
        by_field[field].append(f"{places} × {rule}")
    fields = list(by_field)
    found = [SettingWarning(field, f"The safety filters masked {', '.join(by_field[field])}.") for field in fields]
    if len(found) <= MAX_WARNINGS:
        return tuple(found)
    rest = len(found) - MAX_WARNINGS + 1
    return (
        *found[: MAX_WARNINGS - 1],
        SettingWarning("messages", f"The safety filters masked text in {rest} more fields."),
    )


def _add_warnings(metadata: ResponseMetadata, warnings: Sequence[SettingWarning]) -> None:
    metadata.warnings = (*metadata.warnings, *warnings)


def _by_rule(masked: Counter[tuple[str, str]]) -> Counter[str]:
    rules: Counter[str] = Counter()
    for (_, rule), places in masked.items():
        rules[rule] += places
    return rules
