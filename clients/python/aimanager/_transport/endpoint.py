"""Address and credentials of a gateway, and the gRPC channel options that follow from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from ipaddress import ip_address

import grpc

from ..config import MAX_RETRIES

MIB = 1024 * 1024
GENERATION_SERVICE = {"service": "aimanager.v1.GenerationService"}
GENERATE_METHOD = {**GENERATION_SERVICE, "method": "Generate"}
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A gateway's address and credentials. No repr shows the credentials.

    `provider_key` is the caller's own key for `provider`. `retries` counts the attempts after the first.
    """

    target: str
    retries: int = MAX_RETRIES
    tls: bool = False
    root_certificates: bytes | None = field(default=None, repr=False)
    private_key: bytes | None = field(default=None, repr=False)
    certificate_chain: bytes | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    provider: str = ""
    provider_key: str = field(default="", repr=False)

    def metadata(self, *, with_provider_key: bool) -> Metadata:
        """Return the metadata of a call: the token, and the provider key only for calls to a model."""
        token = (("authorization", f"Bearer {self.token}"),) if self.token else ()
        if not with_provider_key or not self.provider_key:
            return token
        return (*token, (f"x-provider-key-{self.provider}", self.provider_key))

    @property
    def channel_credentials(self) -> grpc.ChannelCredentials:
        """TLS credentials of a channel."""
        return grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate_chain)


def channel_options(endpoint: Endpoint) -> Sequence[tuple[str, int | str]]:
    """Return the message size limits, keepalive and retry policy of a channel."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", 36 * MIB),  # the providers' 32 MB plus framing
        ("grpc.max_send_message_length", 36 * MIB),
        ("grpc.per_rpc_retry_buffer_size", 40 * MIB),  # gRPC never retries a request above the default of 256 KiB
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
    """Return the gRPC service config with at most `retries` attempts after the first.

    Streams get no retry policy. With one, grpcio 1.85 loses the deadline of a stream whose server goes away, and its
    reader waits forever. The client retries streams itself, see `retry_call`.

    >>> '"maxAttempts": 2' in service_config(1)
    True
    """
    if not retries:
        return "{}"
    config = json.loads(files("aimanager").joinpath("service_config.json").read_text("utf-8"))
    for method in config["methodConfig"]:
        method["name"] = [GENERATE_METHOD if name == GENERATION_SERVICE else name for name in method["name"]]
        method["retryPolicy"]["maxAttempts"] = min(method["retryPolicy"]["maxAttempts"], retries + 1)
    return json.dumps(config)


def is_loopback(target: str) -> bool:
    """Return whether every address of a gRPC target is on this machine.

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
