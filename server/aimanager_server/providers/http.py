"""The one place that asks providers over HTTP, whatever their wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial

from ..call import Call
from ..errors import (
    DeadlineExceeded,
    ProviderProtocol,
    ProviderUnreachable,
)
from ..fault import Fault
from ..reply import Event, Head, Reply
from ..settings import Limits
from .dialect import Dialect, HttpRequest, Reader
from .http_body import read_start, read_whole
from .http_stream import HttpStream
from .keyed import Answer, Exchange, Keyed
from .keys import KeyRing
from .masking import MASK, SHORTEST_SECRET, masked
from .transport import Response, Transport

LONGEST_REFUSAL = 64 * 1024
LONGEST_HEADER = 512
PROBE_SECONDS = 10.0


class HttpProvider:
    """Asks one provider: a key, a dialect and a transport. Raises Faults that name the provider and hold no secret.

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
        self._keyed = Keyed(name, keys, key_variable)
        self._secrets = tuple(secrets)
        self._user_agent = user_agent
        self._probe_seconds = probe_seconds

    @property
    def dialect(self) -> Dialect:
        """The wire it speaks."""
        return self._dialect

    async def __call__(self, call: Call) -> Reply:
        """Ask `call.target`, up to the first event of the answer."""
        return await self._keyed(call, partial(self._within, self._exchange))

    async def fetch(
        self, call: Call, encode: Callable[[str], HttpRequest], decode: Callable[[bytes], Answer]
    ) -> Answer:
        """One plain exchange beside the answers, such as a count of tokens: `encode` takes the key, `decode` the body.

        Keys, deadline and faults are those of a call.
        """

        async def exchange(call: Call, key: str) -> Answer:
            with call.away.waiting():
                response = await self._send(encode(key), _correlation(call), streaming=False)
                try:
                    await self._check(response, key)
                    body = await read_whole(response, self._limits)
                finally:
                    await _close(response)
            return decode(body)

        return await self._keyed(call, partial(self._within, exchange))

    async def probe(self) -> None:
        """Ask for the model list. Raises a Fault where the provider does not answer it."""
        key = next(self._keyed.server_keys())
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
        except Fault as fault:
            self._own("", key, fault)
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _within(self, exchange: Exchange[Answer], call: Call, key: str) -> Answer:
        """The exchange within the deadline, its faults fit to leave."""
        model = call.target.model
        try:
            async with asyncio.timeout_at(call.deadline):
                return await exchange(call, key)
        except TimeoutError as error:
            message = "The deadline passed before the provider had begun to answer."
            raise DeadlineExceeded(message, provider=self._name, model=model) from error
        except Fault as fault:
            self._own(model, key, fault)
            raise

    async def _exchange(self, call: Call, key: str) -> Reply:
        dialect = self._dialect_for(call.target.model)
        request = dialect.encode(call, key)
        with call.away.waiting():
            response = await self._send(request, _correlation(call), streaming=call.streams)
        try:
            await self._check(response, key)
            if call.streams and not _is_json(response):
                return await self._streamed(call, response, key, dialect.reader())
            with call.away.waiting():
                body = await read_whole(response, self._limits)
        except BaseException:
            await _close(response)
            raise
        await _close(response)
        return Reply(self._head(call), _each(dialect.decode(body)), _nothing)

    async def _streamed(self, call: Call, response: Response, key: str, reader: Reader) -> Reply:
        own = partial(self._own, call.target.model, key)
        stream = HttpStream(call, response, reader, own, self._limits.response_bytes)
        await stream.begin()
        return Reply(self._head(call), stream, stream.aclose)

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
            raise ProviderProtocol(
                f"The provider answered {status}, a redirect; a key is never sent on to another address.",
                solution="Set base_url to the address the provider redirects to, if you trust it.",
                upstream_status=status,
            )
        if not 200 <= status < 300:
            body = await read_start(response, LONGEST_REFUSAL)
            if len(key) >= SHORTEST_SECRET:
                body = body.replace(key.encode(), MASK.encode())
            raise self._dialect.error(status, {name.lower(): value for name, value in response.headers.items()}, body)
        if _media_type(response) == "text/html":
            raise ProviderProtocol("The provider answered with a web page.", upstream_status=status)

    def _own(self, model: str, key: str, fault: Fault) -> None:
        """Make a fault fit to leave: it says who and which model, and holds neither the key nor another secret."""
        fault.provider = fault.provider or self._name
        fault.model = fault.model or model
        fault.message = masked(fault.message, (key, *self._secrets))
        fault.args = (fault.message,)

    def _head(self, call: Call) -> Head:
        target = call.target
        return Head(call.id, call.requested_model, self._name, target.model, warnings=target.warnings)


def _correlation(call: Call) -> dict[str, str]:
    said = (("X-Client-Request-Id", call.id), ("traceparent", call.trace))
    return {name: value for name, value in said if value and len(value) <= LONGEST_HEADER and _fits_header(value)}


def _fits_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _media_type(response: Response) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _is_json(response: Response) -> bool:
    media_type = _media_type(response)
    return media_type == "application/json" or media_type.endswith("+json")


async def _close(response: Response) -> None:
    await response.body.aclose()


async def _each(events: list[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


async def _nothing() -> None: ...
