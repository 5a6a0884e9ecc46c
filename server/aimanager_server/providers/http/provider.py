"""The one place that asks providers over HTTP, whatever their wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from ...config.settings import Limits
from ...core.errors import (
    DeadlineExceeded,
    GatewayError,
    MissingCredentials,
    ProviderProtocolError,
    ProviderUnreachable,
)
from ...core.request import Call
from ...core.response import Event, Finished, ResponseMetadata, ResponseStream
from ...core.usage import Usage
from ...resilience.key_pool import KeyRing
from ...telemetry.redaction import MASK, SHORTEST_SECRET, masked
from ..wires.dialect import Dialect, HttpRequest, Reader
from .body import read_start, read_whole
from .headers import correlation, folded, is_json, media_type
from .stream import HttpStream
from .transport import Response, Transport

Answer = TypeVar("Answer")
Exchange = Callable[[Call, str], Awaitable[Answer]]
"""One exchange with the provider, with a key that may be empty."""

LONGEST_REFUSAL = 64 * 1024
PROBE_SECONDS = 10.0


class HttpProvider:
    """Asks one provider: a key, a dialect and a transport. Raises Faults that name the provider and hold no secret.

    A call brings its key; `keys` are the server's, for one that brings none, and for whatever else is asked.
    `key_variable` names the environment variable that would hold a key; empty where none is needed. `secrets` never
    leave in a message, nor does the key that was used. `dialect_for` gives the dialect of a model, for providers that
    speak several; all else is said in `dialect`, refusals too, which are the same on all wires of a provider.
    """

    def __init__(
        self,
        name: str,
        dialect: Dialect,
        transport: Transport,
        keys: KeyRing,
        limits: Limits,
        *,
        dialect_for: Callable[[str], Dialect] | None = None,
        key_variable: str = "",
        secrets: Sequence[str] = (),
        user_agent: str = "aimanager",
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._name = name
        self._dialect = dialect
        self._dialect_for = dialect_for or (lambda model: dialect)
        self._transport = transport
        self._limits = limits
        self._keys = keys
        self._key_variable = key_variable
        self._secrets = tuple(secrets)
        self._user_agent = user_agent
        self._probe_seconds = probe_seconds

    @property
    def dialect(self) -> Dialect:
        """The wire it speaks."""
        return self._dialect

    async def __call__(self, call: Call) -> ResponseStream:
        """Ask `call.target`, up to the first event of the answer."""
        return await self._within(call, self._exchange)

    async def fetch(
        self, call: Call, encode: Callable[[str], HttpRequest], decode: Callable[[bytes], Answer]
    ) -> Answer:
        """One plain exchange beside the answers, such as a count of tokens: `encode` takes the key, `decode` the body.

        Keys, deadline and faults are those of a call.
        """

        async def exchange(call: Call, key: str) -> Answer:
            with call.upstream_timer.measure():
                response = await self._send(encode(key), correlation(call), streaming=False)
                try:
                    await self._check(response, key)
                    body = await read_whole(response, self._limits)
                finally:
                    await _close(response)
            return decode(body)

        return await self._within(call, exchange)

    async def probe(self) -> None:
        """Ask for the model list. Raises GatewayError where the provider does not answer it."""
        key = self._servers_key()
        try:
            async with asyncio.timeout(self._probe_seconds):
                response = await self._send(self._dialect.probe(key), {}, streaming=False)
                try:
                    await self._check(response, key)
                    await read_whole(response, self._limits)
                finally:
                    await _close(response)
        except TimeoutError as error:
            message = f"The provider did not answer within {self._probe_seconds:g} seconds."
            raise ProviderUnreachable(message, provider=self._name) from error
        except GatewayError as fault:
            self._own("", key, fault)
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def _servers_key(self) -> str:
        """A key of the server's; empty where none is needed. Raises MissingCredentials."""
        key = self._keys.first().secret
        if key or not self._key_variable:
            return key
        raise MissingCredentials(
            f"There is no key for the provider {self._name!r}.",
            solution=f"Set {self._key_variable} for the server, or api_key under [providers.{self._name}] in its "
            "configuration, or give the client a key of your own: AIManager(api_key=…).",
            provider=self._name,
            metadata={"envVar": self._key_variable},
        )

    async def _within(self, call: Call, exchange: Exchange[Answer]) -> Answer:
        """The exchange within the deadline, its faults fit to leave."""
        model, key = call.target.model, call.api_key.secret or self._servers_key()
        try:
            async with asyncio.timeout_at(call.deadline):
                return await exchange(call, key)
        except TimeoutError as error:
            message = "The deadline passed before the provider had begun to answer."
            raise DeadlineExceeded(message, provider=self._name, model=model) from error
        except GatewayError as fault:
            self._own(model, key, fault)
            raise

    async def _exchange(self, call: Call, key: str) -> ResponseStream:
        dialect = self._dialect_for(call.target.model)
        request = dialect.encode(call, key)
        with call.upstream_timer.measure():
            response = await self._send(request, correlation(call), streaming=call.is_upstream_streamed)
        try:
            await self._check(response, key)
            if call.is_upstream_streamed and not is_json(response):
                return await self._streamed(call, response, key, dialect.reader())
            with call.upstream_timer.measure():
                body = await read_whole(response, self._limits)
        except BaseException:
            await _close(response)
            raise
        await _close(response)
        events = dialect.decode(body)
        return ResponseStream(self._head(call), _each(events), _nothing, partial(_usage_of, events))

    async def _streamed(self, call: Call, response: Response, key: str, reader: Reader) -> ResponseStream:
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise ProviderProtocolError(f"The stream is encoded as {encoding[:40]!r}, which was not offered.")
        own = partial(self._own, call.target.model, key)
        stream = HttpStream(call, response, reader, own, self._limits.response_bytes)
        await stream.begin()
        return ResponseStream(self._head(call), stream, stream.aclose, stream.spent)

    async def _send(self, request: HttpRequest, more: Mapping[str, str], *, streaming: bool) -> Response:
        headers = {
            "User-Agent": self._user_agent,
            # Compression would hold deltas back until its buffer is full.
            "Accept-Encoding": "identity" if streaming else "gzip, deflate",
            **request.headers,
            **more,
        }
        return await self._transport.send(HttpRequest(request.method, request.url, headers, request.body))

    async def _check(self, response: Response, key: str) -> None:
        """Raise what a status other than success means, or a page in place of an answer."""
        status = response.status
        if 300 <= status < 400:
            raise ProviderProtocolError(
                f"The provider answered {status}, a redirect; a key is never sent on to another address.",
                solution="Set base_url to the address the provider redirects to, if you trust it.",
                upstream_status=status,
            )
        if not 200 <= status < 300:
            body = await read_start(response, LONGEST_REFUSAL)
            if len(key) >= SHORTEST_SECRET:
                body = body.replace(key.encode(), MASK.encode())
            raise self._dialect.error(status, folded(response.headers), body)
        if media_type(response) == "text/html":
            raise ProviderProtocolError("The provider answered with a web page.", upstream_status=status)

    def _own(self, model: str, key: str, fault: GatewayError) -> None:
        """Make a fault fit to leave: it says who and which model, and holds neither the key nor another secret."""
        fault.provider = fault.provider or self._name
        fault.model = fault.model or model
        fault.message = masked(fault.message, (key, *self._secrets))
        fault.args = (fault.message,)

    def _head(self, call: Call) -> ResponseMetadata:
        target = call.target
        return ResponseMetadata(call.id, call.requested_model, self._name, target.model, warnings=target.warnings)


def _usage_of(events: Sequence[Event]) -> Usage | None:
    last = events[-1] if events else None
    return last.usage if isinstance(last, Finished) else None


async def _close(response: Response) -> None:
    await response.body.aclose()


async def _each(events: list[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


async def _nothing() -> None: ...
