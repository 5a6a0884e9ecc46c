"""Run a plug-in as a provider, isolated from the server and held to the contract of all providers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, get_args

from ...catalog.model import Model, Support, SupportLevel
from ...config.providers import ProviderSettings
from ...core.errors import DeadlineExceeded, GatewayError, ProviderProtocolError, StreamInterrupted
from ...core.handler import AttemptHandler, Clock
from ...core.request import NO_KEY, Attempt
from ...core.response import Event, Finished, ResponseMetadata, Restarted
from ...core.stream import ResponseStream
from ...core.usage import Usage
from ...resilience.isolated_loop import SHUTDOWN_TIMEOUT_SECONDS, IsolatedLoop, Loop
from .api import NativePlugin, Transport
from .hops import HopsTransport, current_hops

LIST_TIMEOUT_SECONDS = 10.0
ALLOWED_EVENTS: tuple[type, ...] = tuple(kind for kind in get_args(Event) if kind is not Restarted)
"""The events that a plug-in may send. Only the gateway restarts a stream."""


class PluginProvider:
    """Call a plug-in as a provider. Raises GatewayError only.

    `open_transport` is called once for each event loop of the plug-in.
    """

    def __init__(
        self,
        plugin: NativePlugin,
        settings: ProviderSettings,
        open_transport: Callable[[], Transport],
        clock: Clock,
        plugin_loop: IsolatedLoop,
        list_timeout: float = LIST_TIMEOUT_SECONDS,
    ) -> None:
        self._plugin = plugin
        self._name = plugin.name
        self._settings = settings
        self._open_transport = open_transport
        self._clock = clock
        self._plugin_loop = plugin_loop
        self._list_timeout = list_timeout
        self._opened: tuple[Loop, AttemptHandler, Transport] | None = None

    async def __call__(self, attempt: Attempt[Any]) -> ResponseStream:
        """Send the attempt to the plug-in and return once the first event has arrived."""
        try:
            async with asyncio.timeout_at(attempt.deadline):
                with attempt.upstream_timer.measure():
                    return await self._open_stream(attempt)
        except TimeoutError as error:
            message = f"Deadline exceeded before plug-in {self._name!r} began to respond."
            raise DeadlineExceeded(message, provider=self._name, model=attempt.target.model) from error
        except GatewayError as error:
            raise self._attributed(error, attempt)  # noqa: B904  # a copy of the error keeps its cause

    async def probe(self) -> None:
        """List the models. Raises GatewayError if the plug-in fails."""
        await self.models()

    async def models(self) -> tuple[Model, ...]:
        """Return the models with their capabilities. Raises GatewayError."""
        try:
            async with asyncio.timeout(self._list_timeout):
                return await self._plugin_loop.run(self._list_models)
        except TimeoutError as error:
            message = f"Plug-in {self._name!r} did not list its models within {self._list_timeout:g} s."
            raise ProviderProtocolError(message, provider=self._name) from error

    async def aclose(self) -> None:
        """Close the plug-in's connections and stop its thread."""
        if self._opened is not None:
            loop, _, transport = self._opened
            with suppress(GatewayError, TimeoutError):
                async with asyncio.timeout(SHUTDOWN_TIMEOUT_SECONDS):
                    await self._plugin_loop.run(transport.aclose, loop)
        await self._plugin_loop.aclose()

    def _attributed(self, error: GatewayError, attempt: Attempt[Any]) -> GatewayError:
        return error.replace(provider=self._name, model=attempt.target.model)

    async def _open_stream(self, attempt: Attempt[Any]) -> ResponseStream:
        opening = _Opening()
        try:
            stream, loop = await self._plugin_loop.run(lambda: self._call_plugin(attempt, opening))
        except BaseException:
            opening.is_abandoned = True
            if opening.opened is not None:
                stream, loop = opening.opened
                self._plugin_loop.submit(stream.aclose, loop)
            raise
        source = _PluginEvents(
            attempt,
            read=lambda: self._plugin_loop.run(lambda: _read_batch(stream), loop),
            close=lambda: self._plugin_loop.submit(stream.aclose, loop),
            attributed=self._attributed,
        )
        try:
            await source.start()
        except BaseException:
            source.close()
            raise
        metadata = ResponseMetadata(
            attempt.id, attempt.requested_model, self._name, attempt.target.model, warnings=stream.metadata.warnings
        )
        return ResponseStream(metadata, source)

    async def _call_plugin(self, attempt: Attempt[Any], opening: _Opening) -> tuple[ResponseStream, Loop]:
        """Return the plug-in's stream and the event loop that it belongs to."""
        current_hops.set(attempt.hops)
        stream = await self._handler()(self._with_permitted_keys(attempt))
        if not isinstance(stream, ResponseStream):
            raise ProviderProtocolError(
                f"Plug-in {self._name!r} must return a ResponseStream, got {type(stream).__name__!r}."
            )
        opening.opened = stream, asyncio.get_running_loop()
        if opening.is_abandoned:
            await stream.aclose()
        return opening.opened

    def _with_permitted_keys(self, attempt: Attempt[Any]) -> Attempt[Any]:
        """Return the attempt without the keys of other providers, also in the attempts that it refers to."""
        caller_keys = {name: key for name, key in attempt.caller.provider_keys.items() if name == self._name}
        permitted = {*caller_keys.values(), *(credential.key for credential in self._settings.credentials())}
        api_key = attempt.api_key if attempt.api_key.secret in permitted else NO_KEY
        caller = replace(attempt.caller, provider_keys=caller_keys)
        call = replace(attempt.call, caller=caller, params=None)  # which has the native options for other providers
        return replace(attempt, call=call, api_key=api_key, forms=(), sent=None, repair=None)

    def _handler(self) -> AttemptHandler:
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0] is not loop:
            transport = HopsTransport(self._open_transport())
            self._opened = loop, self._plugin.open(self._settings, transport, self._clock), transport
        return self._opened[1]

    async def _list_models(self) -> tuple[Model, ...]:
        self._handler()  # a plug-in may need its settings to list the models
        return tuple(self._to_model(model) for model in await self._plugin.models())

    def _to_model(self, model: str) -> Model:
        levels = self._plugin.capabilities(model)
        support = {capability: Support(SupportLevel(level)) for capability, level in levels.items()}
        return Model(self._name, str(model), capabilities=support)


@dataclass(slots=True)
class _Opening:
    """A call whose stream must be closed even if the plug-in returns it after the call was cancelled.

    Each thread sets its own field before it reads the other's, so that at least one of them closes the stream.
    """

    opened: tuple[ResponseStream, Loop] | None = None
    is_abandoned: bool = False


class _PluginEvents:
    """Read and validate the events of one stream. `usage_so_far` is None until the plug-in reports usage.

    Enforces no timeout: the consumer cancels a read that takes too long.
    """

    def __init__(
        self,
        attempt: Attempt[Any],
        read: Callable[[], Awaitable[tuple[list[Event], Usage | None]]],
        close: Callable[[], None],
        attributed: Callable[[GatewayError, Attempt[Any]], GatewayError],
    ) -> None:
        self.buffered: list[Event] = []
        self._attempt = attempt
        self._read = read
        self._close = close
        self._attributed = attributed
        self._is_open = True
        self._usage: Usage | None = None

    def usage_so_far(self) -> Usage | None:
        """Return the usage that the plug-in has reported."""
        return self._usage

    async def start(self) -> None:
        """Read the first events. Raises what the plug-in raises, since the caller has received nothing yet."""
        self.buffered = await self._read_valid()

    async def read(self) -> list[Event]:
        """Return the next events. From the first content on, every failure raises StreamInterrupted."""
        events, self.buffered = self.buffered, []
        if not events:
            events = await self._read_or_interrupt()
        if type(events[-1]) is Finished:
            self.close()
        return events

    def close(self) -> None:
        """Close the plug-in's stream in its own event loop, without waiting. Idempotent."""
        if self._is_open:
            self._is_open = False
            self._close()

    async def aclose(self) -> None:
        """Discard the remaining events."""
        self.close()

    async def _read_valid(self) -> list[Event]:
        """Return the next events. Raises ProviderProtocolError for an invalid event, or an end before `Finished`."""
        events, usage = await self._read()
        if not events:
            raise ProviderProtocolError("The plug-in's stream ended without a completion event.")
        for event in events:
            if not isinstance(event, ALLOWED_EVENTS):
                raise ProviderProtocolError(f"Invalid event from the plug-in: {type(event).__name__!r}.")
        if any(type(event) is Finished for event in events[:-1]):
            raise ProviderProtocolError("The plug-in's stream has an event after the completion event.")
        last = events[-1]
        self._usage = last.usage if isinstance(last, Finished) else usage
        return events

    async def _read_or_interrupt(self) -> list[Event]:
        try:
            with self._attempt.upstream_timer.measure():
                return await self._read_valid()
        except GatewayError as cause:
            self.close()
            message = f"Stream interrupted after the first content: {cause.message}"
            error = StreamInterrupted(message, usage=cause.usage or self._usage)
            raise self._attributed(error, self._attempt) from cause
        except BaseException:
            self.close()
            raise


async def _read_batch(stream: ResponseStream) -> tuple[list[Event], Usage | None]:
    """Return the next events, none at the end, and the usage so far. Runs in the plug-in's event loop."""
    events = await stream.read()
    try:
        usage = stream.usage_so_far()
    # Plug-in code may raise anything. A failing usage report must not lose the response.
    except Exception:
        usage = None
    return events, usage if isinstance(usage, Usage) else None
