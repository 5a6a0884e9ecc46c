"""Call a provider over HTTP, whichever wire it uses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ...config.settings import Limits
from ...core.coalescing import Coalescer
from ...core.errors import (
    DeadlineExceeded,
    GatewayError,
    MissingCredentials,
    ModelNotFound,
    ProviderCredentialsInvalid,
    ProviderPermissionDenied,
    ProviderProtocolError,
    ProviderUnreachable,
)
from ...core.request import CALLER_KEY_ID, Attempt
from ...core.response import Event, Finished, ResponseMetadata, SettingWarning
from ...core.stream import ResponseStream
from ...resilience.key_pool import KeyPool
from ...telemetry.redaction import MIN_SECRET_LENGTH, REDACTED, redact
from ..wires.wire import HttpRequest, StreamReader, Wire
from .body import read_body, read_error_body
from .empty_response import has_content, reject_lost_content
from .headers import correlation_headers, is_json, media_type
from .state_marker import StateMarker
from .stream import HttpStream
from .transport import Response, Transport

Result = TypeVar("Result")
Exchange = Callable[[Attempt[Any], str], Awaitable[Result]]
"""One HTTP exchange for a call, authenticated with an API key that may be empty."""

MAX_ERROR_BODY_BYTES = 64 * 1024
PROBE_TIMEOUT_SECONDS = 10.0

STATE_OMITTED = "rejected the state of earlier turns; the request was sent again without it."
KEY_CHECK_SECONDS = 2.0
KEY_CHECK_INTERVAL_SECONDS = 10.0
"""A status 403 that does not say why is followed by one request for the model list, in this interval, with the key."""


class HttpProvider:
    """Call one provider through a wire and a transport. Raised errors name the provider and contain no secrets.

    A call uses its own API key. `key_pool` supplies the server's key for calls without one, and for probes.
    `api_key_env` is the environment variable that configures a key, empty if none is required. `secrets` are redacted
    from error messages, as is the key in use. `wire_for` selects the wire of a model if the provider has several;
    probes and error responses use `wire`.

    Generations use `transport`. Other requests of callers use `operations`, and requests of the gateway itself use
    `control`, so that none of the three waits for connections of the others. Both are `transport` by default.
    """

    def __init__(
        self,
        name: str,
        wire: Wire,
        transport: Transport,
        key_pool: KeyPool,
        limits: Limits,
        *,
        operations: Transport | None = None,
        control: Transport | None = None,
        wire_for: Callable[[str], Wire] | None = None,
        api_key_env: str = "",
        secrets: Sequence[str] = (),
        user_agent: str = "aimanager",
        probe_timeout: float = PROBE_TIMEOUT_SECONDS,
    ) -> None:
        self._name = name
        self._wire = wire
        self._wire_for = wire_for or (lambda model: wire)
        self._transport = transport
        self._operations = operations or transport
        self._control = control or transport
        self._limits = limits
        self._key_pool = key_pool
        self._api_key_env = api_key_env
        self._secrets = tuple(secrets)
        self._user_agent = user_agent
        self._probe_timeout = probe_timeout
        self._key_checks: Coalescer[bool] = Coalescer(KEY_CHECK_INTERVAL_SECONDS, time.monotonic)

    @property
    def wire(self) -> Wire:
        """The wire of probes, errors and, without `wire_for`, all models."""
        return self._wire

    @property
    def transport(self) -> Transport:
        """The transport of generations."""
        return self._transport

    def wire_of(self, model: str) -> Wire:
        """Return the wire of a model."""
        return self._wire_for(model)

    async def __call__(self, attempt: Attempt[Any]) -> ResponseStream:
        """Send the attempt to its target and return once the first event has arrived."""
        return await self._attributed(attempt, self._generate)

    async def exchange(
        self,
        attempt: Attempt[Any],
        encode: Callable[[str], HttpRequest],
        decode: Callable[[bytes], Result],
        *,
        is_control: bool = False,
    ) -> Result:
        """Perform one unary request that is not a generation, such as counting tokens.

        `encode` receives the API key, `decode` the response body. Keys, deadline and errors are handled as for a call.
        `is_control` tells a request of the gateway itself from that of a caller.
        """
        transport = self._control if is_control else self._operations

        async def send(attempt: Attempt[Any], key: str) -> Result:
            with attempt.upstream_timer.measure():
                headers = correlation_headers(attempt)
                body = await self._fetch(transport, encode(key), key, attempt.deadline, headers)
            return decode(body)

        return await self._attributed(attempt, send)

    async def probe(self) -> None:
        """Request the model list. Raises GatewayError unless the provider responds with success."""
        key = self._server_key()
        deadline = asyncio.get_running_loop().time() + self._probe_timeout
        try:
            await self._fetch(self._control, self._wire.probe_request(key), key, deadline, {})
        except TimeoutError as error:
            message = f"The provider did not respond to a probe within {self._probe_timeout:g} s."
            raise ProviderUnreachable(message, provider=self._name) from error
        except GatewayError as error:
            raise self._attributed_error("", key, error) from error.__cause__

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in dict.fromkeys((self._transport, self._operations, self._control)):
            await transport.aclose()

    def _server_key(self) -> str:
        """Return a key of the server, empty if none is required. Raises MissingCredentials."""
        key = self._key_pool.peek().secret
        if key or not self._api_key_env:
            return key
        raise MissingCredentials(
            f"No API key configured for provider {self._name!r}.",
            solution=f"Set {self._api_key_env} for the server, set api_key under [providers.{self._name}] in its "
            "configuration, or pass your own key to the client: AIManager(api_key=…).",
            provider=self._name,
            metadata={"envVar": self._api_key_env},
        )

    async def _attributed(self, attempt: Attempt[Any], exchange: Exchange[Result]) -> Result:
        """Perform the exchange; errors name the provider and the model and contain no secrets."""
        model, key = attempt.target.model, attempt.api_key.secret or self._server_key()
        try:
            return await exchange(attempt, key)
        except TimeoutError as error:
            missing = "sent any content" if attempt.is_streamed else "completed its response"
            message = f"Deadline exceeded before the provider {missing}."
            raise DeadlineExceeded(message, provider=self._name, model=model) from error
        except ProviderPermissionDenied as error:
            known = await self._with_key_checked(attempt, key, error)
            raise self._attributed_error(model, key, known) from error.__cause__
        except GatewayError as error:
            raise self._attributed_error(model, key, error) from error.__cause__

    async def _with_key_checked(self, attempt: Attempt[Any], key: str, error: ProviderPermissionDenied) -> GatewayError:
        """Return ProviderCredentialsInvalid if the model list is forbidden as well, else the error unchanged.

        A caller's own key is not checked: what becomes of it concerns nobody else.
        """
        if attempt.api_key.id == CALLER_KEY_ID or not key:
            return error
        due = min(attempt.deadline, asyncio.get_running_loop().time() + KEY_CHECK_SECONDS)
        try:
            async with asyncio.timeout_at(due):
                is_refused = await self._key_checks.run(key, lambda: self._is_key_refused(key))
        except TimeoutError:
            return error
        if not is_refused:
            return error
        return ProviderCredentialsInvalid(
            f"{error.message} The model list is forbidden to this API key as well.",
            upstream_status=error.upstream_status,
            usage=error.usage,
        )

    async def _is_key_refused(self, key: str) -> bool:
        deadline = asyncio.get_running_loop().time() + KEY_CHECK_SECONDS
        try:
            await self._fetch(self._control, self._wire.probe_request(key), key, deadline, {})
        except GatewayError as error:
            return error.upstream_status in (401, 403)
        except TimeoutError:
            pass
        return False

    async def _generate(self, attempt: Attempt[Any], key: str) -> ResponseStream:
        wire, deadline, streaming = self.wire_of(attempt.target.model), attempt.deadline, attempt.is_streamed
        request = self._prepare(wire.encode(attempt, key), correlation_headers(attempt), streaming=streaming)
        with attempt.upstream_timer.measure():
            response = await self._transport.send(request, deadline)
        try:
            await self._raise_for_status(response, key, deadline)
            if streaming and not is_json(response.headers):
                return await self._open_stream(attempt, request, response, key, wire.stream_reader())
            with attempt.upstream_timer.measure():
                body = await read_body(response, self._limits, deadline)
        except BaseException:
            await response.body.aclose()
            raise
        await response.body.aclose()
        events = _decode(wire, response, body)
        if isinstance(events[-1], Finished) and not has_content(events):
            reject_lost_content(attempt, events[-1])
        return self._marked(ResponseStream.of(self._metadata(attempt, request), events), key)

    async def _fetch(
        self, transport: Transport, request: HttpRequest, key: str, deadline: float, headers: Mapping[str, str]
    ) -> bytes:
        """Return the body of a successful response. Raises TimeoutError at `deadline`."""
        response = await transport.send(self._prepare(request, headers, streaming=False), deadline)
        try:
            await self._raise_for_status(response, key, deadline)
            return await read_body(response, self._limits, deadline)
        except ModelNotFound as error:
            if request.method != "GET":
                raise
            raise _missing_endpoint(request, error) from error
        finally:
            await response.body.aclose()

    async def _open_stream(
        self, attempt: Attempt[Any], request: HttpRequest, response: Response, key: str, reader: StreamReader
    ) -> ResponseStream:
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise ProviderProtocolError(
                f"Unsupported Content-Encoding {encoding[:40]!r} in the provider's stream; none was offered."
            )
        attribute = partial(self._attributed_error, attempt.target.model, key)
        stream = HttpStream(attempt, response, reader, attribute, self._limits.max_response_bytes)
        await stream.start()
        return self._marked(ResponseStream(self._metadata(attempt, request), stream), key)

    def _marked(self, stream: ResponseStream, key: str) -> ResponseStream:
        """Mark the state in the response with the key, if it is one of the server's."""
        fingerprint = self._key_pool.fingerprint(key)
        return stream.observed_by(StateMarker(fingerprint)) if fingerprint else stream

    def _prepare(self, request: HttpRequest, extra_headers: Mapping[str, str], *, streaming: bool) -> HttpRequest:
        headers = {
            "User-Agent": self._user_agent,
            # Compression would delay deltas until the compressor's buffer is full.
            "Accept-Encoding": "identity" if streaming else "gzip, deflate",
            **request.headers,
            **extra_headers,
        }
        if request.method == "GET":
            headers.setdefault("Accept", "*/*")
        return HttpRequest(request.method, request.url, headers, request.body, request.warnings)

    async def _raise_for_status(self, response: Response, key: str, deadline: float) -> None:
        """Raise the error for a status other than 2xx, or for an HTML page."""
        status = response.status
        if 300 <= status < 400:
            raise ProviderProtocolError(
                f"The provider responded with redirect status {status}. Redirects are not followed, because they would "
                "send the API key to another address.",
                solution=f"If you trust the redirect target, set providers.{self._name}.base_url to it.",
                upstream_status=status,
            )
        if not 200 <= status < 300:
            body = await read_error_body(response, MAX_ERROR_BODY_BYTES, deadline)
            if len(key) >= MIN_SECRET_LENGTH:
                body = body.replace(key.encode(), REDACTED.encode())
            raise self._wire.error(status, response.headers, body)
        if media_type(response.headers) == "text/html":
            raise ProviderProtocolError(
                "The provider responded with an HTML page instead of an API response.", upstream_status=status
            )

    def _attributed_error(self, model: str, key: str, error: GatewayError) -> GatewayError:
        """Return the error with provider and model, and without the key and other secrets in its message."""
        return error.replace(
            message=redact(error.message, (key, *self._secrets)),
            provider=error.provider or self._name,
            model=error.model or model,
        )

    def _metadata(self, attempt: Attempt[Any], request: HttpRequest) -> ResponseMetadata:
        target = attempt.target
        warnings = (*target.warnings, *request.warnings) if request.warnings else target.warnings
        if attempt.omits_state:
            warnings = (*warnings, SettingWarning("messages", f"{self._name} {STATE_OMITTED}"))
        return ResponseMetadata(attempt.id, attempt.requested_model, self._name, target.model, warnings=warnings)


def _missing_endpoint(request: HttpRequest, error: ModelNotFound) -> ProviderProtocolError:
    """Return the error for a request that names no model, such as for the model list, whose URL does not exist."""
    path = urlsplit(request.url).path
    return ProviderProtocolError(
        f"The provider has no endpoint at {path!r}: {error.message}",
        solution="Check base_url: the path of the API, such as /v1, may be missing.",
        upstream_status=error.upstream_status,
    )


def _decode(wire: Wire, response: Response, body: bytes) -> list[Event]:
    """Return the events of a whole body, which some servers stream although that was not requested."""
    if media_type(response.headers) != "text/event-stream":
        return wire.decode(body)
    reader = wire.stream_reader()
    return [*reader.feed(body), *reader.end()]
