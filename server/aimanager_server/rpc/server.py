"""The gRPC server: binds its addresses and shuts down without losing calls."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from ..config.errors import StartupError
from ..config.listeners import check_bindable
from ..config.settings import ServerSettings, Settings
from ..resilience.request_turns import RequestTurns
from ..telemetry.logger import get_logger
from .interceptor_chain import Interceptor, InterceptorChain
from .interceptors.admission import Admission
from .log_filter import redact_invalid_metadata
from .request_receiver import RequestReceiver
from .services.grpc_health import GrpcHealthService
from .services.reflection import ReflectionService
from .tls import ServerCredentials, TlsCertificates

MIB = 1024 * 1024
MIN_GRPC_LIMIT_BYTES = 36 * MIB
GRPC_LIMIT_MARGIN_BYTES = 4 * MIB
"""gRPC's own message limit exceeds ours by this much: its rejection carries no error details, ours does."""

COMPRESSION_LEVEL = 2
"""GRPC_COMPRESS_LEVEL_MED, which is gzip if the client accepts it."""

NO_CALLABLE_PROVIDER_SOLUTION = (
    "Set the API key of a provider, such as ANTHROPIC_API_KEY, add one that needs no key, such as [providers.ollama] "
    "or [providers.mock], or set server.accept_caller_keys = true."
)

REJECTION_SECONDS = 0.3
"""How long new calls are still rejected with a status after the last call ended, before the ports close."""

LISTENER_CHECK_SECONDS = 0.25
"""How often the server checks that it is still listening."""

CANCEL_GRACE_SECONDS = 2.0
"""How long a call that outlived the drain has to send its status before its connection closes."""


class Service(Protocol):
    """A service that a gRPC server can register."""

    name: str

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server that has not started yet."""
        ...


@dataclass(frozen=True, slots=True)
class Replacement:
    """Parts of a server that replace others while it runs."""

    settings: ServerSettings
    services: Sequence[Service]
    chain: InterceptorChain
    certificates: TlsCertificates | None


class GatewayServer:
    """Serve the API on `server.listen` and, if configured, the health service alone on `server.health_listen`.

    `interceptors` are listed outermost first; `admission` is one of them. `port` and `health_port` are the bound ports,
    0 if none.
    """

    def __init__(
        self,
        settings: Settings,
        interceptors: Sequence[Interceptor],
        admission: Admission,
        services: Sequence[Service],
        cancel_grace_seconds: float = CANCEL_GRACE_SECONDS,
        rejection_seconds: float = REJECTION_SECONDS,
    ) -> None:
        self._settings = settings.server
        self._has_callable_provider = bool(settings.callable_providers())
        self._max_message_bytes = settings.limits.max_message_bytes
        self._turns = RequestTurns()
        self._chain = interceptor_chain(settings, interceptors, self._turns)
        self._credentials: ServerCredentials | None = None
        self.admission = admission
        self._health_service = GrpcHealthService(
            (service.name for service in services), self._settings.max_watches, self._settings.watch_timeout_seconds
        )
        self.services: Sequence[Service] = (*services, self._health_service)
        self._reflection_service = ReflectionService(service.name for service in self.services)
        self._cancel_grace_seconds = cancel_grace_seconds
        self._rejection_seconds = rejection_seconds
        self._servers: list[grpc.aio.Server] = []
        self._log = get_logger()
        self._stop_now = asyncio.Event()
        self._replaced: dict[grpc.aio.Server, asyncio.Future[None]] = {}
        self.port = 0
        self.health_port = 0

    async def start(self) -> None:
        """Listen on every address, then report readiness, unless no provider can be called.

        Raises StartupError and releases every port if one fails.
        """
        try:
            certificates = _certificates(self._settings)
            self._credentials = None if certificates is None else ServerCredentials(certificates)
            self.port = self._bind(self._settings.listen, self.services, self._credentials)
            if self._settings.health_listen is not None:
                self.health_port = self._bind(self._settings.health_listen, (self._health_service,), None)
        except StartupError:
            await self._release_ports()
            raise
        redact_invalid_metadata()
        for server in self._servers:
            await server.start()
        if self._has_callable_provider:
            self._health_service.mark_ready()
        else:
            self._log.warning("server.no_callable_provider", solution=NO_CALLABLE_PROVIDER_SOLUTION)
        self._log.info("server.started", port=self.port, health_port=self.health_port)

    def check(self) -> None:
        """Raise StartupError if `start` would fail, without listening. An address that is in use passes."""
        _certificates(self._settings)
        for address in filter(None, (self._settings.listen, self._settings.health_listen)):
            try:
                check_bindable(address)
            except OSError as error:
                raise _cannot_listen(address) from error

    def prepare(
        self, settings: Settings, interceptors: Sequence[Interceptor], services: Sequence[Service]
    ) -> Replacement:
        """Return these parts and the certificates of the settings, for `replace`. Safe to call from any thread.

        Raises StartupError if a certificate cannot be used.
        """
        chain = interceptor_chain(settings, interceptors, self._turns)
        services = (*services, self._health_service)
        chain.bind((*services, self._reflection_service))
        return Replacement(settings.server, services, chain, _certificates(settings.server))

    def replace(self, replacement: Replacement) -> None:
        """Handle new RPCs with these parts, and new connections with these certificates.

        RPCs in flight and open connections keep theirs. Listeners, reflection and the limits of gRPC stay as they are.
        """
        self._settings, self.services = replacement.settings, replacement.services
        self._chain.adopt(replacement.chain)
        self._health_service.reconfigure(self._settings.max_watches, self._settings.watch_timeout_seconds)
        if self._credentials is not None and replacement.certificates is not None:
            self._credentials.certificates = replacement.certificates

    async def serve_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal stops at once. Raises gRPC's own failures."""
        loop, stop_requested = asyncio.get_running_loop(), asyncio.Event()

        def on_signal() -> None:
            (self._stop_now if stop_requested.is_set() else stop_requested).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        supervisor = asyncio.ensure_future(self._supervise_listener())
        stopping = asyncio.ensure_future(stop_requested.wait())
        try:
            await asyncio.wait({supervisor, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not supervisor.done():
                await self.drain()
            await supervisor
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            stopping.cancel()
            supervisor.cancel()
            await self.stop()

    async def drain(self) -> None:
        """Report not ready, wait for load balancers to notice, reject new calls, let calls in flight end, and stop."""
        self._log.info("server.draining", in_flight=self.admission.in_flight)
        self._health_service.mark_not_ready()
        await self._wait(self._stop_now.wait(), self._settings.drain_delay_seconds)
        self.admission.close()
        await self._wait(self.admission.wait_until_idle(), self._settings.drain_timeout_seconds)
        # A call rejected now gets a status it can retry on; one that arrives while gRPC stops gets none.
        await self._wait(self._stop_now.wait(), self._rejection_seconds)
        self._health_service.close()
        cancelled = self.admission.in_flight
        self.admission.cancel_all()
        await self.stop(None if self._stop_now.is_set() else self._cancel_grace_seconds)
        self._log.info("server.stopped", cancelled_calls=cancelled)

    async def stop(self, grace: float | None = None) -> None:
        """Stop listening; cancel calls still in flight after `grace` seconds. Idempotent."""
        await asyncio.gather(*(server.stop(grace) for server in (*self._servers, *self._replaced)))

    async def _supervise_listener(self) -> None:
        """Reopen the port whenever gRPC stops accepting calls; return once the server is stopped.

        In grpcio 1.85.1 a method name that is not UTF-8 ends the accept loop, and any client can send one. Calls in
        flight continue, but no new call would ever be accepted.
        """
        # wait_for_termination needs a timeout: cancelling it without one also cancels a future that gRPC needs to stop.
        while True:
            try:
                if not await self._servers[0].wait_for_termination(LISTENER_CHECK_SECONDS):
                    return
            except UnicodeDecodeError:
                self._log.error("server.listener_reopened", port=self.port)
                await self._reopen()

    async def _reopen(self) -> None:
        broken = self._servers.pop(0)
        stopping = asyncio.ensure_future(broken.stop(self._settings.stream_timeout_seconds))
        stopping.add_done_callback(lambda _: self._replaced.pop(broken))
        self._replaced[broken] = stopping
        host = self._settings.listen.rpartition(":")[0]
        self._bind(f"{host}:{self.port}", self.services, self._credentials)
        self._servers.insert(0, self._servers.pop())
        await self._servers[0].start()

    async def _wait(self, condition: Coroutine[Any, Any, object], seconds: float) -> None:
        """Wait for the condition, at most `seconds`; return early once the server must stop now."""
        tasks = [asyncio.ensure_future(condition), asyncio.ensure_future(self._stop_now.wait())]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _release_ports(self) -> None:
        """Close the bound ports. gRPC does so only for a server that was started."""
        self.admission.close()
        for server in self._servers:
            await server.start()
        await self.stop()

    def _bind(self, address: str, services: Sequence[Service], credentials: ServerCredentials | None) -> int:
        server = grpc.aio.server(options=self._options())
        self._servers.append(server)
        registrar = self._chain.registrar(server)
        for service in services:
            service.add_to(registrar)
        if self._settings.reflection and len(services) > 1:
            self._reflection_service.add_to(registrar)
        try:
            if credentials is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, credentials.for_listener())
        except RuntimeError as error:
            raise _cannot_listen(address) from error

    def _options(self) -> list[tuple[str, Any]]:
        grpc_limit = max(MIN_GRPC_LIMIT_BYTES, self._max_message_bytes + GRPC_LIMIT_MARGIN_BYTES)
        return [
            # On by default, which would let a second server share the port silently.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", grpc_limit),
            ("grpc.max_send_message_length", grpc_limit),
            # Negotiated with each client, which an explicit algorithm would not be.
            ("grpc.default_compression_level", COMPRESSION_LEVEL),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Clients ping every 30 s; the default of 5 minutes would close their connections.
            ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
            # Lets load balancers redistribute clients; the grace period lets the longest stream end.
            ("grpc.max_connection_age_ms", 1_800_000),
            ("grpc.max_connection_age_grace_ms", round(1000 * self._settings.stream_timeout_seconds)),
            ("grpc.max_connection_idle_ms", 600_000),
            # Far above what admission takes. gRPC counts streams that it has not freed yet, and refuses the excess
            # without an error detail. Without overload protection, reset streams would queue without limit.
            ("grpc.max_concurrent_streams", 4096),
            ("grpc.http.overload_protection", 1),
            # Probing would let each stream of an unknown caller hold up to 7 MiB instead of the flow-control window.
            ("grpc.http2.bdp_probe", 0),
            # By default gRPC cancels a burst of calls that the event loop has not taken over yet, unseen by any log.
            ("grpc.server.max_pending_requests", 100_000),
            ("grpc.server.max_pending_requests_hard_limit", 200_000),
        ]


def _cannot_listen(address: str) -> StartupError:
    return StartupError(
        f"Cannot listen on {address!r}: the port is in use, or the address does not belong to this machine. "
        "Stop the other process, or set server.listen or server.health_listen to a free address."
    )


def interceptor_chain(settings: Settings, interceptors: Sequence[Interceptor], turns: RequestTurns) -> InterceptorChain:
    """Return the chain of a server with these settings, to bind to its services. `turns` outlive the settings."""
    receiver = RequestReceiver(settings.limits, settings.server.request_timeout_seconds, turns)
    return InterceptorChain(interceptors, receiver)


def _certificates(settings: ServerSettings) -> TlsCertificates | None:
    return None if settings.tls is None else TlsCertificates(settings.tls)
