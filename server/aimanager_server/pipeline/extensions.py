"""Pass requests and responses through extensions: requests in the configured order, responses in reverse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from ..artifacts.extractor import ArtifactExtractor
from ..core.content import Artifact, Part, Text, ToolCall
from ..core.errors import ExtensionFailed, GatewayError
from ..core.handler import CallHandler
from ..core.request import Call, GenerateParams
from ..core.response import (
    Event,
    FinishReason,
    GenerateResult,
    ResponseBuilder,
    Restarted,
)
from ..core.stream import ResponseStream, StreamObserver
from ..core.usage import Usage
from ..extensions.checks import check_size, checked_request, checked_response
from ..extensions.dict_form import InvalidResult
from ..extensions.runner import ExtensionRunner, Hook
from ..extensions.views import ExtensionCall, ExtensionRequest, ExtensionResponse
from .response_replay import complete_events

ResolveChanged = Callable[[Call, GenerateParams], Call]
"""Validate and resolve a changed request of a call. Raises GatewayError."""

ValidateAnswer = Callable[[Call, str], Awaitable[str]]
"""Return the JSON of a text in the output format of a call. Raises ValueError if it does not match."""


class RunExtensions:
    """Run the extensions once for each call that is not an idempotent replay.

    A stream is held back until it is complete if an extension may change it. It restarts unseen then, like a unary
    call. `max_bytes` limits a changed response. Raises ExtensionFailed, and what extensions raise to refuse a call.
    """

    def __init__(
        self, runners: Sequence[ExtensionRunner], resolve: ResolveChanged, validate: ValidateAnswer, max_bytes: int
    ) -> None:
        self._runners = runners
        self._resolve = resolve
        self._validate = validate
        self._max_bytes = max_bytes
        self._sees_responses = any(runner.on_events or runner.on_completion for runner in runners)

    async def __call__(self, call: Call, proceed: CallHandler) -> ResponseStream:
        """Return the response as the extensions leave it."""
        runs = [_Run(runner, call) for runner in self._runners]
        for run in runs:
            if run.runner.on_request is not None:
                call = await run.request(call, self._resolve)
        if not self._sees_responses:
            return await proceed(call)
        responding = [run for run in reversed(runs) if not run.has_failed]
        watching = [run for run in responding if run.runner.on_events is not None]
        completing = [run for run in responding if run.runner.on_completion is not None]
        if any(run.runner.changes_responses for run in completing):
            return await self._held(call, proceed, watching, completing)
        stream = _watched_by(watching, await proceed(call))
        return _completed_by(completing, stream) if completing else stream

    async def _held(
        self, call: Call, proceed: CallHandler, watching: Sequence[_Run], completing: Sequence[_Run]
    ) -> ResponseStream:
        """Return a complete response, as the extensions leave it."""
        if call.streaming:
            call = replace(call, restart_on_interruption=True)
        events, original = await _read(_watched_by(watching, await proceed(call)))
        result = original
        for run in completing:
            result = await run.completion(result, lambda changed: self._consistent(call, changed))
        return ResponseStream.of(result.metadata, events if result is original else complete_events(result))

    async def _consistent(self, call: Call, result: GenerateResult) -> GenerateResult:
        """Return a changed response with its artifacts and validated JSON. Raises InvalidResult."""
        parts, finished = result.message.parts, result.finished
        # The validated JSON and the artifacts are copies of the text.
        check_size(parts, self._max_bytes // (1 + bool(finished.structured_json) + call.extract_artifacts))
        if finished.reason is FinishReason.TOOL_CALLS and not any(isinstance(part, ToolCall) for part in parts):
            raise InvalidResult("parts", "must keep a tool call, for which the model stopped")
        if finished.structured_json:
            try:
                structured_json = await self._validate(call, _text_of(parts))
            except ValueError as error:
                raise InvalidResult("parts", f"must match output_format: {error}") from None
            finished = replace(finished, structured_json=structured_json)
        artifacts = _artifacts(parts) if call.extract_artifacts else ()
        return replace(result, finished=finished, artifacts=artifacts)


class _Run:
    """One extension in one call. One that has failed is not called again, if the call goes on at all."""

    __slots__ = ("has_failed", "runner", "view")

    def __init__(self, runner: ExtensionRunner, call: Call) -> None:
        target, turn = call.target, call.turn
        self.runner = runner
        self.view = ExtensionCall(
            call.id, call.caller.name, call.requested_model, target.provider, target.model,
            "" if turn is None else turn.conversation_id, call.streaming,
        )  # fmt: skip
        self.has_failed = False

    async def request(self, call: Call, resolve: ResolveChanged) -> Call:
        """Return the call as the extension leaves it."""
        runner, params = self.runner, call.params
        assert runner.on_request is not None
        assert params is not None
        sent = _request_of(call, params)
        try:
            result = await runner.run(runner.on_request, self.view, sent)
            if result is None or result is sent or result == sent:
                return call
            return self._resolved(call, params, checked_request(result, sent), resolve)
        except InvalidResult as error:
            self._fail(runner.on_request, runner.failure(f"returned an invalid request: {error}."))
        except ExtensionFailed as error:
            self._fail(runner.on_request, error)
        return call

    async def events(self, events: list[Event]) -> None:
        """Show events to the extension."""
        runner = self.runner
        assert runner.on_events is not None
        if self.has_failed:
            return
        try:
            await runner.run(runner.on_events, self.view, tuple(events))
        except ExtensionFailed as error:
            self._fail(runner.on_events, error)

    async def completion(
        self, result: GenerateResult, consistent: Callable[[GenerateResult], Awaitable[GenerateResult]] | None
    ) -> GenerateResult:
        """Return the response as the extension leaves it. Without `consistent` it stays as it is."""
        runner = self.runner
        assert runner.on_completion is not None
        if self.has_failed:
            return result
        sent = _response_of(result)
        try:
            changed = await runner.run(runner.on_completion, self.view, sent)
            if consistent is None or not runner.changes_responses or changed is None or changed == sent:
                return result
            parts = checked_response(changed, sent).parts
            return await consistent(replace(result, message=replace(result.message, parts=parts)))
        except InvalidResult as error:
            self._fail(runner.on_completion, runner.failure(f"returned an invalid response: {error}."))
        except ExtensionFailed as error:
            self._fail(runner.on_completion, error)
        return result

    def _resolved(self, call: Call, params: GenerateParams, request: ExtensionRequest, resolve: ResolveChanged) -> Call:
        turn = call.turn
        changed = replace(
            params,
            messages=(*request.history, *request.messages),
            system_instruction=request.system_instruction,
            sampling=request.sampling,
            reasoning=request.reasoning,
            tools=request.tools,
            tool_choice=request.tool_choice,
            output_format=request.output_format,
            labels=request.labels,
            end_user_id=request.end_user_id,
            provider_options=request.provider_options,
            turn=turn,
        )
        try:
            return resolve(call, changed)
        except GatewayError as error:
            raise self.runner.failure(f"returned an invalid request: {error.message}") from error

    def _fail(self, hook: Hook, error: ExtensionFailed) -> None:
        self.has_failed = True
        self.runner.fail(hook, error)


class _WatchedEvents:
    """The events of a stream, each batch shown to extensions before the reader receives it."""

    def __init__(self, stream: ResponseStream, runs: Sequence[_Run]) -> None:
        self._stream = stream
        self._runs = runs

    @property
    def buffered(self) -> Sequence[Event]:
        """Return events that have arrived but have not been read yet."""
        return self._stream.buffered

    async def read(self) -> list[Event]:
        """Return the next events."""
        events = await self._stream.read()
        if events:
            for run in self._runs:
                await run.events(events)
        return events

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def usage_so_far(self) -> Usage | None:
        """Return the usage reported so far."""
        return self._stream.usage_so_far()


def _watched_by(runs: Sequence[_Run], stream: ResponseStream) -> ResponseStream:
    return ResponseStream(stream.metadata, _WatchedEvents(stream, runs)) if runs else stream


async def _read(stream: ResponseStream) -> tuple[list[Event], GenerateResult]:
    """Return the events and the result of a response, without what preceded its last restart. Closes the stream."""
    builder, events = ResponseBuilder(), list[Event]()
    try:
        while not stream.is_ended:
            batch = await stream.read()
            for event in batch:
                builder.add(event)
            if type(batch[0]) is Restarted:  # always the first of its batch
                events = batch[1:]
            else:
                events += batch
    finally:
        await stream.aclose()
    return events, builder.result(stream.metadata)


def _completed_by(runs: Sequence[_Run], stream: ResponseStream) -> ResponseStream:
    """Return the stream, whose complete response is shown to extensions before its reader sees the end."""
    observer = _Observer()

    async def complete(events: list[Event]) -> None:
        observer.on_events(events[-1:])  # an inner finalizer may have completed the last event
        result = observer.builder.result(stream.metadata)
        for run in runs:
            await run.completion(result, None)

    return stream.observed_by(observer).finalized_by(complete)


class _Observer(StreamObserver):
    __slots__ = ("builder",)

    def __init__(self) -> None:
        self.builder = ResponseBuilder()

    def on_events(self, events: list[Event]) -> None:
        for event in events:
            self.builder.add(event)


def _request_of(call: Call, params: GenerateParams) -> ExtensionRequest:
    messages, turn = params.messages, call.turn
    first = 0 if turn is None else turn.first_message
    return ExtensionRequest(
        messages[first:] if first else messages, messages[:first] if first else (), params.system_instruction,
        params.sampling, params.reasoning, params.tools, params.tool_choice, params.output_format, params.labels,
        params.end_user_id, params.provider_options,
    )  # fmt: skip


def _response_of(result: GenerateResult) -> ExtensionResponse:
    metadata, finished = result.metadata, result.finished
    return ExtensionResponse(
        result.message.parts, metadata.provider, metadata.model, finished.reason, finished.usage, finished.cost,
        finished.structured_json, result.artifacts,
    )  # fmt: skip


def _artifacts(parts: Sequence[Part]) -> tuple[Artifact, ...]:
    extractor = ArtifactExtractor()
    return tuple(found for index, part in enumerate(parts) for found in extractor.complete_part(index, part))


def _text_of(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))
