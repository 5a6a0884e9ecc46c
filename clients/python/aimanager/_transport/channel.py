"""Opens the way to a gateway: where it is, what may be sent over it, and the channel, made on first use."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from ..config import MOST_RETRIES
from ..errors import ConfigurationError
from ..v1 import embedding_pb2_grpc, generation_pb2_grpc, health_pb2_grpc, model_pb2_grpc

if TYPE_CHECKING:
    from ..v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub
    from ..v1.generation_pb2_grpc import GenerationServiceAsyncStub
    from ..v1.health_pb2_grpc import HealthServiceAsyncStub
    from ..v1.model_pb2_grpc import ModelServiceAsyncStub

MIB = 1024 * 1024
LONGEST_LOOK = 1.0  # seconds; gRPC says at once how a channel does, from a thread of its own
DEAD = (grpc.ChannelConnectivity.CONNECTING, grpc.ChannelConnectivity.TRANSIENT_FAILURE)
QUESTIONS = {"service": "aimanager.v1.GenerationService"}
WHOLE_ANSWERS = {**QUESTIONS, "method": "Generate"}
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A gateway and the secrets for it. The secrets are in no repr; `key` goes with generation calls alone."""

    target: str
    retries: int = MOST_RETRIES
    tls: bool = False
    root_certificates: bytes | None = field(default=None, repr=False)
    private_key: bytes | None = field(default=None, repr=False)
    certificate_chain: bytes | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    provider: str = ""
    key: str = field(default="", repr=False)

    @property
    def metadata(self) -> Pairs:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    @property
    def generation_metadata(self) -> Pairs:
        """What goes with questions to a model."""
        return (*self.metadata, (f"x-provider-key-{self.provider}", self.key)) if self.key else self.metadata

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        """For a channel over TLS."""
        return grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate_chain)


@dataclass(frozen=True, slots=True)
class Stubs:
    """The generated stubs. Calls through them carry no token, key or timeout of the client's."""

    generation: generation_pb2_grpc.GenerationServiceStub
    models: model_pb2_grpc.ModelServiceStub
    health: health_pb2_grpc.HealthServiceStub
    embeddings: embedding_pb2_grpc.EmbeddingServiceStub


@dataclass(frozen=True, slots=True)
class AsyncStubs:
    """The generated stubs for asyncio. Calls through them carry no token, key or timeout of the client's."""

    generation: GenerationServiceAsyncStub
    models: ModelServiceAsyncStub
    health: HealthServiceAsyncStub
    embeddings: EmbeddingServiceAsyncStub


class Connection:
    """A channel that opens on first use, so that a process may fork before; may be shared by threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._open: tuple[grpc.Channel, Stubs] | None = None
        self._closed = False

    @property
    def stubs(self) -> Stubs:
        """Raises ConfigurationError once the connection is closed."""
        with self._lock:
            if self._closed:
                raise closed()
            if self._open is None:
                channel = self._channel()
                # Left open, a channel that was looked at (`is_dead`) keeps a program from ending.
                weakref.finalize(self, channel.close)
                self._open = (
                    channel,
                    Stubs(
                        generation_pb2_grpc.GenerationServiceStub(channel),
                        model_pb2_grpc.ModelServiceStub(channel),
                        health_pb2_grpc.HealthServiceStub(channel),
                        embedding_pb2_grpc.EmbeddingServiceStub(channel),
                    ),
                )
            return self._open[1]

    def _channel(self) -> grpc.Channel:
        endpoint, options = self.endpoint, channel_options(self.endpoint)
        if endpoint.tls:
            return grpc.secure_channel(endpoint.target, endpoint.credentials, options)
        return grpc.insecure_channel(endpoint.target, options)

    def is_dead(self) -> bool:
        """Whether nobody answers at the other end: the channel tries to connect, and has not."""
        states: SimpleQueue[grpc.ChannelConnectivity] = SimpleQueue()
        look = states.put
        with self._lock:
            if self._closed or self._open is None:
                return False
            channel = self._open[0]
            channel.subscribe(look)
            try:
                return states.get(timeout=LONGEST_LOOK) in DEAD
            except Empty:
                return False
            finally:
                channel.unsubscribe(look)

    def close(self) -> None:
        """Calls under way end with AIError, reason CANCELLED. May be called twice."""
        with self._lock:
            self._closed = True
            if self._open is not None:
                self._open[0].close()


class AsyncConnection:
    """As Connection, for the one event loop it is first used in."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._open: tuple[grpc.aio.Channel, AsyncStubs] | None = None
        self._closed = False

    @property
    def stubs(self) -> AsyncStubs:
        """Raises ConfigurationError once the connection is closed."""
        if self._closed:
            raise closed()
        if self._open is None:
            channel = self._channel()
            self._open = (
                channel,
                AsyncStubs(
                    generation_pb2_grpc.GenerationServiceStub(channel),
                    model_pb2_grpc.ModelServiceStub(channel),
                    health_pb2_grpc.HealthServiceStub(channel),
                    embedding_pb2_grpc.EmbeddingServiceStub(channel),
                ),
            )
        return self._open[1]

    def _channel(self) -> grpc.aio.Channel:
        endpoint, options = self.endpoint, channel_options(self.endpoint)
        if endpoint.tls:
            return grpc.aio.secure_channel(endpoint.target, endpoint.credentials, options)
        return grpc.aio.insecure_channel(endpoint.target, options)

    def is_dead(self) -> bool:
        """Whether nobody answers at the other end: the channel tries to connect, and has not."""
        return not self._closed and self._open is not None and self._open[0].get_state() in DEAD

    async def close(self) -> None:
        """Calls under way end with AIError, reason CANCELLED. May be called twice."""
        self._closed = True
        if self._open is not None:
            await self._open[0].close(grace=None)


def closed() -> ConfigurationError:
    """What a closed client says."""
    return ConfigurationError("the client is closed", solution="Make a new one, or close it after its last call.")


def channel_options(endpoint: Endpoint) -> Sequence[tuple[str, int | str]]:
    """Message sizes, keepalive and retries of a channel."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", 36 * MIB),  # the providers' 32 MB and framing
        ("grpc.max_send_message_length", 36 * MIB),
        ("grpc.per_rpc_retry_buffer_size", 40 * MIB),  # a request beyond the buffer, 256 KiB unset, is never resent
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.service_config", service_config(endpoint.retries)),
    ]
    if not endpoint.retries:
        options.append(("grpc.enable_retries", 0))
    if is_loopback(endpoint.target):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy would carry plaintext keys off this machine
    return options


def service_config(retries: int) -> str:
    """The retry policy, with at most `retries` sendings after the first.

    Streams have none: with one, grpcio 1.85 loses their deadline where the server goes away (a reader then waits for
    ever), so they are sent again by `patiently`.

    >>> '"maxAttempts": 2' in service_config(1)
    True
    """
    policy = json.loads(files("aimanager").joinpath("service_config.json").read_text("utf-8"))
    if not retries:
        return "{}"
    for method in policy["methodConfig"]:
        method["name"] = [WHOLE_ANSWERS if name == QUESTIONS else name for name in method["name"]]
        method["retryPolicy"]["maxAttempts"] = min(method["retryPolicy"]["maxAttempts"], retries + 1)
    return json.dumps(policy)


def is_loopback(target: str) -> bool:
    """Whether what is sent to a gRPC target stays on this machine.

    >>> is_loopback("localhost:50051"), is_loopback("dns:///[::1]:50051"), is_loopback("gateway.example:443")
    (True, True, False)
    """
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    addresses = target.rpartition("/")[2].removeprefix("ipv4:").removeprefix("ipv6:").removeprefix("dns:")
    return all(_is_loopback_host(address) for address in addresses.split(","))


def _is_loopback_host(address: str) -> bool:
    host = address.partition("]")[0].lstrip("[") if address.startswith("[") else address.partition(":")[0]
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
