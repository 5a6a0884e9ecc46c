"""Binds the API to its addresses, and lets go of it without losing a call."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
import structlog
from grpc_reflection.v1alpha import reflection

from ..config.settings import Settings, Tls
from .context import Interceptor
from .interceptor_chain import Chain
from .interceptors.admission import Admit
from .log_filter import keep_secrets
from .services.grpc_health import Readiness

MIB = 1024 * 1024
LARGEST_MESSAGE_BYTES = 36 * MIB
FRAMING_BYTES = 4 * MIB
"""gRPC's own limit stays above ours: it refuses without saying why, ours with details."""

LINGER_SECONDS = 0.3
"""How long calls are still refused in words once the last one has ended."""

LOOK_SECONDS = 0.25
"""How long the server may go without listening before it notices."""

PARTING_SECONDS = 2.0
"""What a call that outlived the drain still gets before it is cut."""


class CannotListen(Exception):
    """An address or certificate cannot be used; the message says which, and what to do."""


class Service(Protocol):
    """Something a gRPC server can serve."""

    name: str

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register before the server starts."""
        ...


class Server:
    """The API on `listen` and, where set, its health alone on `health_listen`.

    `interceptors` are listed from the outermost in; `admit` is the one of them that counts calls. `port` and
    `health_port` are those bound, 0 where none is.
    """

    def __init__(
        self,
        settings: Settings,
        interceptors: Sequence[Interceptor],
        admit: Admit,
        services: Sequence[Service],
        parting_seconds: float = PARTING_SECONDS,
    ) -> None:
        self._settings = settings.server
        self._message_bytes = settings.limits.message_bytes
        self._interceptors = tuple(interceptors)
        self._admit = admit
        self._readiness = Readiness(service.name for service in services)
        self.services = (*services, self._readiness)
        self._parting_seconds = parting_seconds
        self._servers: list[grpc.aio.Server] = []
        self._log = structlog.get_logger()
        self._hurried = asyncio.Event()
        self._letting_go: dict[grpc.aio.Server, asyncio.Future[None]] = {}
        self.port = 0
        self.health_port = 0

    async def start(self) -> None:
        """Listen, then say ready. Raises CannotListen, and then listens nowhere."""
        try:
            self.port = self._bind(self._settings.listen, self.services, self._settings.tls)
            if self._settings.health_listen is not None:
                self.health_port = self._bind(self._settings.health_listen, (self._readiness,), None)
        except CannotListen:
            await self._give_up()
            raise
        keep_secrets()
        for server in self._servers:
            await server.start()
        self._readiness.set(ready=True)
        self._log.info("server.started", port=self.port, health_port=self.health_port)

    async def serve_until_signal(self) -> None:
        """Drain after SIGTERM or SIGINT, without patience after a second one. Raises what made gRPC itself fail."""
        loop, asked = asyncio.get_running_loop(), asyncio.Event()

        def notice() -> None:
            (self._hurried if asked.is_set() else asked).set()

        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, notice)
        ended = asyncio.ensure_future(self._keep_listening())
        waiting = asyncio.ensure_future(asked.wait())
        try:
            await asyncio.wait({ended, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self.drain()
            await ended
        finally:
            for one in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(one)
            waiting.cancel()
            ended.cancel()
            await self.stop()

    async def drain(self) -> None:
        """Say not ready, give load balancers time to see it, refuse new calls, let the others end, stop."""
        self._log.info("server.draining", in_flight=self._admit.in_flight)
        self._readiness.set(ready=False)
        await self._patiently(self._hurried.wait(), self._settings.drain_notice_seconds)
        self._admit.close()
        await self._patiently(self._admit.emptied(), self._settings.drain_seconds)
        # Who is refused now comes again elsewhere, or later; who arrives while gRPC stops is told nothing.
        await self._patiently(self._hurried.wait(), LINGER_SECONDS)
        self._readiness.close()
        cut = self._admit.in_flight
        self._admit.cut()
        await self.stop(None if self._hurried.is_set() else self._parting_seconds)
        self._log.info("server.stopped", cut=cut)

    async def stop(self, grace: float | None = None) -> None:
        """Stop listening; calls still under way are cut after `grace` seconds. Safe to call again."""
        await asyncio.gather(*(server.stop(grace) for server in (*self._servers, *self._letting_go)))

    async def _keep_listening(self) -> None:
        """Return once stopped, and until then open again what gRPC gave up.

        A method name that is not UTF-8 ends the accepting of calls, and anybody can send one (seen in grpcio 1.85.1).
        Calls under way go on; without this, no new one would ever be taken.
        """
        # Only with a timeout: a plain wait, cancelled, takes along a future that gRPC needs to stop.
        while True:
            try:
                if not await self._servers[0].wait_for_termination(LOOK_SECONDS):
                    return
            except UnicodeDecodeError:
                self._log.error("server.reopened", port=self.port)
                await self._reopen()

    async def _reopen(self) -> None:
        given_up = self._servers.pop(0)
        letting_go = asyncio.ensure_future(given_up.stop(self._settings.stream_timeout_seconds))
        letting_go.add_done_callback(lambda _: self._letting_go.pop(given_up))
        self._letting_go[given_up] = letting_go
        host = self._settings.listen.rpartition(":")[0]
        self._bind(f"{host}:{self.port}", self.services, self._settings.tls)
        self._servers.insert(0, self._servers.pop())
        await self._servers[0].start()

    async def _patiently(self, happening: Coroutine[Any, Any, object], seconds: float) -> None:
        """Wait for it, at most `seconds`, and no longer once hurried."""
        tasks = [asyncio.ensure_future(happening), asyncio.ensure_future(self._hurried.wait())]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _give_up(self) -> None:
        """Let go of what is bound: gRPC does so only for a server that was started."""
        self._admit.close()
        for server in self._servers:
            await server.start()
        await self.stop()

    def _bind(self, address: str, services: Sequence[Service], tls: Tls | None) -> int:
        chain = Chain(self._interceptors, self._message_bytes)
        server = grpc.aio.server(interceptors=(chain,), options=self._options())
        self._servers.append(server)
        for service in services:
            service.add_to(server)
        if self._settings.reflection and len(services) > 1:
            names = [service.name for service in services]
            reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
        try:
            if tls is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, _credentials(tls))
        except RuntimeError as error:
            raise CannotListen(
                f"Cannot listen on {address!r}: the port is in use, or the address is not this machine's. "
                "Stop the other process, or set server.listen or server.health_listen to a free address."
            ) from error

    def _options(self) -> list[tuple[str, Any]]:
        largest = max(LARGEST_MESSAGE_BYTES, self._message_bytes + FRAMING_BYTES)
        return [
            # On by default: a second server would silently share the port.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_send_message_length", largest),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Clients ping every 30 s; with the default of 5 minutes they would be sent away.
            ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
            # Lets load balancers spread clients anew; the grace lets the longest stream end.
            ("grpc.max_connection_age_ms", 1_800_000),
            ("grpc.max_connection_age_grace_ms", round(1000 * self._settings.stream_timeout_seconds)),
            ("grpc.max_connection_idle_ms", 600_000),
            ("grpc.max_concurrent_streams", 1000),
        ]


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    chain, key = _read(tls.certificate_file), _read(tls.key_file)
    authorities = None if tls.client_ca_file is None else _read(tls.client_ca_file)
    _check(tls)
    return grpc.ssl_server_credentials([(key, chain)], authorities, authorities is not None)


def _check(tls: Tls) -> None:
    """gRPC says of unusable files only that it cannot listen."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An encrypted key would ask for its password on the terminal.
        context.load_cert_chain(tls.certificate_file, tls.key_file, password="")
    except (ssl.SSLError, OSError) as error:
        raise CannotListen(
            "server.tls.certificate_file and server.tls.key_file cannot be used: accepted are a PEM certificate chain "
            "and the unencrypted PEM key that belongs to it."
        ) from error
    if tls.client_ca_file is None:
        return
    try:
        context.load_verify_locations(tls.client_ca_file)
    except (ssl.SSLError, OSError) as error:
        raise CannotListen("server.tls.client_ca_file cannot be used: accepted are PEM certificates.") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CannotListen(f"Cannot read {str(file)!r} for TLS: {error.strerror}.") from error
