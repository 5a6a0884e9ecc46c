"""A provider whose handler comes from a plug-in: kept apart, and held to what every provider promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import get_args

from ...catalog.model import Level, Model, Support
from ...config.providers import ProviderSettings
from ...core.errors import DeadlineExceeded, GatewayError, ProviderProtocolError, StreamInterrupted
from ...core.handler import Clock, Handler
from ...core.request import NO_KEY, Call
from ...core.response import Event, Finished, ResponseMetadata, ResponseStream, Restarted
from ...core.usage import Usage
from .api import ProviderPlugin, Transport
from .isolation import PARTING_SECONDS, Loop, Seclusion

LIST_SECONDS = 10.0
KINDS: tuple[type, ...] = tuple(kind for kind in get_args(Event) if kind is not Restarted)
"""What a plug-in may say. That an answer begins again is for the gateway to say."""


class PluggedProvider:
    """Asks the plug-in. Raises Faults only, and nothing of the plug-in's outlives the call it was for.

    `open_transport` is asked once for every loop that the plug-in gets.
    """

    def __init__(
        self,
        plugin: ProviderPlugin,
        settings: ProviderSettings,
        open_transport: Callable[[], Transport],
        clock: Clock,
        seclusion: Seclusion,
        list_seconds: float = LIST_SECONDS,
    ) -> None:
        self._plugin = plugin
        self._name = plugin.name
        self._settings = settings
        self._open_transport = open_transport
        self._clock = clock
        self._seclusion = seclusion
        self._list_seconds = list_seconds
        self._opened: tuple[Loop, Handler, Transport] | None = None

    async def __call__(self, call: Call) -> ResponseStream:
        """Ask `call.target`, up to the first event of the answer."""
        try:
            async with asyncio.timeout_at(call.deadline):
                with call.upstream_timer.measure():
                    return await self._begun(call)
        except TimeoutError as error:
            message = "The deadline passed before the plug-in had begun to answer."
            raise DeadlineExceeded(message, provider=self._name, model=call.target.model) from error
        except GatewayError as fault:
            self.own(fault, call)
            raise

    async def probe(self) -> None:
        """Ask for its models. Raises GatewayError where it does not answer."""
        await self.models()

    async def models(self) -> tuple[Model, ...]:
        """Its models and what it says of each. Raises GatewayError."""
        try:
            async with asyncio.timeout(self._list_seconds):
                return await self._seclusion.run(self._listed)
        except TimeoutError as error:
            message = f"The plug-in did not list its models within {self._list_seconds:g} seconds."
            raise ProviderProtocolError(message, provider=self._name) from error

    async def aclose(self) -> None:
        """Close its connections and end its thread."""
        if self._opened is not None:
            loop, _, transport = self._opened
            with suppress(GatewayError, TimeoutError):
                async with asyncio.timeout(PARTING_SECONDS):
                    await self._seclusion.run(transport.aclose, loop)
        await self._seclusion.aclose()

    def own(self, fault: GatewayError, call: Call) -> None:
        """Make a fault say whose it is."""
        fault.provider, fault.model = self._name, call.target.model

    async def _begun(self, call: Call) -> ResponseStream:
        reply, loop = await self._seclusion.run(lambda: self._ask(call))
        events = _Events(
            call,
            read=lambda: self._seclusion.run(lambda: _said(reply), loop),
            let_go=lambda: self._seclusion.submit(reply.aclose, loop),
            own=self.own,
        )
        try:
            first = await events.next()
        except BaseException:
            events.let_go()
            raise
        head = ResponseMetadata(
            call.id, call.requested_model, self._name, call.target.model, warnings=reply.metadata.warnings
        )
        return ResponseStream(head, events.after(first), events.aclose, lambda: events.spent)

    async def _ask(self, call: Call) -> tuple[ResponseStream, Loop]:
        """The plug-in's answer, and the loop it is on."""
        reply = await self._handler()(self._with_own_keys(call))
        if not isinstance(reply, ResponseStream):
            raise ProviderProtocolError(
                f"The plug-in answered with {type(reply).__name__!r} instead of a ResponseStream."
            )
        return reply, asyncio.get_running_loop()

    def _with_own_keys(self, call: Call) -> Call:
        """The call without any key but the caller's and the server's for this provider."""
        keys = {name: key for name, key in call.caller.provider_keys.items() if name == self._name}
        known = {*keys.values(), *(credential.key for credential in self._settings.credentials())}
        key = call.api_key if call.api_key.secret in known else NO_KEY
        return replace(call, caller=replace(call.caller, provider_keys=keys), api_key=key)

    def _handler(self) -> Handler:
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0] is not loop:
            transport = self._open_transport()
            self._opened = loop, self._plugin.open(self._settings, transport, self._clock), transport
        return self._opened[1]

    async def _listed(self) -> tuple[Model, ...]:
        listed = await self._plugin.models()
        return tuple(self._described(model) for model in listed)

    def _described(self, model: str) -> Model:
        levels = self._plugin.capabilities(model)
        support = {capability: Support(Level(level)) for capability, level in levels.items()}
        return Model(self._name, str(model), capabilities=support)


class _Events:
    """The events of one answer, checked on their way. `let_go` closes it, `own` says whose a fault is.

    It knows of no time: whoever reads it and will not wait any longer cancels the read. `spent` is the usage so far.
    """

    def __init__(
        self,
        call: Call,
        read: Callable[[], Awaitable[tuple[Event | None, Usage | None]]],
        let_go: Callable[[], None],
        own: Callable[[GatewayError, Call], None],
    ) -> None:
        self._call = call
        self._read = read
        self._let_go = let_go
        self._own = own
        self._is_open = True
        self.spent: Usage | None = None

    async def next(self) -> Event:
        """The next event. Raises ProviderProtocol for what is none, and for an end before `Finished`."""
        event, spent = await self._read()
        if event is None:
            raise ProviderProtocolError("The plug-in's answer ended without its end.")
        if not isinstance(event, KINDS):
            raise ProviderProtocolError(f"The plug-in answered with a {type(event).__name__!r} among its events.")
        self.spent = event.usage if isinstance(event, Finished) else spent
        return event

    async def after(self, event: Event) -> AsyncIterator[Event]:
        """All of them, this one first. Raises StreamInterrupted for whatever goes wrong from here on."""
        yield event
        while not isinstance(event, Finished):
            event = await self._following()
            yield event
        self.let_go()

    def let_go(self) -> None:
        """Have the plug-in close its answer, once."""
        if self._is_open:
            self._is_open = False
            self._let_go()

    async def aclose(self) -> None:
        """Give up the rest."""
        self.let_go()

    async def _following(self) -> Event:
        try:
            with self._call.upstream_timer.measure():
                return await self.next()
        except GatewayError as cause:
            self.let_go()
            fault = StreamInterrupted(f"The answer broke off after it had begun: {cause.message}")
            fault.usage = cause.usage or self.spent
            self._own(fault, self._call)
            raise fault from cause
        except BaseException:
            self.let_go()
            raise


async def _said(reply: ResponseStream) -> tuple[Event | None, Usage | None]:
    """What a plug-in says next, None at its end, and the usage so far; on its own loop, where it stalls nobody else."""
    event = await anext(aiter(reply), None)
    try:
        spent = reply.usage_so_far()
    # Code of others may raise anything; here is the border to it. What it says of its answer counts all the same.
    except Exception:
        spent = None
    return event, spent if isinstance(spent, Usage) else None
