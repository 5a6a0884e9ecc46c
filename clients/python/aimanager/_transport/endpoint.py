"""Address and credentials of a gateway, and the gRPC channel options that follow from them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from ipaddress import ip_address
from typing import TYPE_CHECKING

import grpc

from ..config import DEFAULT_MAX_WAIT, MAX_MESSAGE_BYTES, MAX_RETRIES, MIB
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..embedded import ServerInProcess

DEFAULT_PORT = 50051
URL = re.compile(r"(?P<scheme>https?|grpcs?)://(?P<address>[^/]*).*", re.IGNORECASE)
TARGET_SCHEME = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds|google-c2p):")
GENERATION_SERVICE = {"service": "aimanager.v1.GenerationService"}
GENERATE_METHOD = {**GENERATION_SERVICE, "method": "Generate"}
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A gateway's address and credentials. No repr shows the credentials.

    `provider_key` is the caller's own key for `provider`. `retries` counts the attempts after the first. `max_wait` is
    in seconds. With an empty `load_balancing` the target decides. With `compresses`, long requests are compressed.
    `server` is the gateway if it runs in this process.
    """

    target: str
    retries: int = MAX_RETRIES
    max_wait: float = DEFAULT_MAX_WAIT
    load_balancing: str = ""
    compresses: bool = False
    tls: bool = False
    root_certificates: bytes | None = field(default=None, repr=False)
    private_key: bytes | None = field(default=None, repr=False)
    certificate_chain: bytes | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    provider: str = ""
    provider_key: str = field(default="", repr=False)
    server: ServerInProcess | None = field(default=None, repr=False)

    def metadata(self, *, with_provider_key: bool) -> Metadata:
        """Return the metadata of a call: the token, and the provider key only for calls to a model."""
        token = (("authorization", f"Bearer {self.token}"),) if self.token else ()
        if not with_provider_key or not self.provider_key:
            return token
        return (*token, (f"x-provider-key-{self.provider}", self.provider_key))

    @property
    def balancing_policy(self) -> str:
        """The load balancing policy: as configured, else round_robin for host names and pick_first for others."""
        return self.load_balancing or ("round_robin" if _is_host_name(self.target) else "pick_first")

    @property
    def channel_credentials(self) -> grpc.ChannelCredentials:
        """TLS credentials of a channel."""
        return grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate_chain)


def channel_options(endpoint: Endpoint) -> Sequence[tuple[str, int | str]]:
    """Return the message size limits, keepalive and retry policy of a channel."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.per_rpc_retry_buffer_size", 40 * MIB),  # gRPC never retries a request above the default of 256 KiB
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),  # a second by default, so that no retry would find a new server
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.service_config", service_config(endpoint.retries, endpoint.balancing_policy)),
    ]
    if not endpoint.retries:
        options.append(("grpc.enable_retries", 0))
    if is_loopback(endpoint.target):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy would carry plaintext keys off this machine
    return options


def service_config(retries: int, balancing_policy: str) -> str:
    """Return the gRPC service config with at most `retries` attempts after the first.

    Streams get no retry policy. With one, grpcio 1.85 loses the deadline of a stream whose server goes away, and its
    reader waits forever. The client retries streams itself, see `retry_call`.

    >>> service_config(0, "round_robin")
    '{"loadBalancingConfig": [{"round_robin": {}}]}'
    """
    balancing: dict[str, object] = {"loadBalancingConfig": [{balancing_policy: {}}]}
    if not retries:
        return json.dumps(balancing)
    config = json.loads(files("aimanager").joinpath("service_config.json").read_text("utf-8"))
    for method in config["methodConfig"]:
        method["name"] = [GENERATE_METHOD if name == GENERATION_SERVICE else name for name in method["name"]]
        method["retryPolicy"]["maxAttempts"] = min(method["retryPolicy"]["maxAttempts"], retries + 1)
    return json.dumps(config | balancing)


def check_target(target: str) -> str:
    """Return a gRPC target. Raises ConfigurationError for a URL, and for an address without a port.

    >>> check_target("dns:///gateway.example:443")
    'dns:///gateway.example:443'
    """
    if not isinstance(target, str) or not target:
        raise ConfigurationError(
            f"target must be an address such as '127.0.0.1:{DEFAULT_PORT}', got {target!r}",
            "Pass host:port of the gateway.",
        )
    if url := URL.fullmatch(target):
        tls = ", tls=True" if url["scheme"].lower() == "https" else ""
        address = url["address"] if _has_port(url["address"]) else f"{url['address']}:{443 if tls else DEFAULT_PORT}"
        raise ConfigurationError(
            f"target must be host:port, not a URL, got {target!r}", f"Write target={address!r}{tls}."
        )
    scheme, addresses = _split_scheme(target)
    if scheme in ("", "dns", "ipv4", "ipv6") and not all(map(_has_port, addresses.split(","))):
        raise ConfigurationError(
            f"target must have a port, got {target!r}", f"Write target='{target.rstrip(':')}:{DEFAULT_PORT}'."
        )
    return target


def _split_scheme(target: str) -> tuple[str, str]:
    """Return the scheme of a target, empty for the default one, and its address."""
    scheme = TARGET_SCHEME.match(target)
    return (scheme[1], target.rpartition("/")[2].removeprefix(f"{scheme[1]}:")) if scheme else ("", target)


def _has_port(address: str) -> bool:
    return address.rpartition(":")[2].isdecimal() and (address.count(":") == 1 or "]:" in address)


def is_loopback(target: str) -> bool:
    """Return whether every address of a gRPC target is on this machine.

    >>> is_loopback("localhost:50051"), is_loopback("dns:///[::1]:50051"), is_loopback("gateway.example:443")
    (True, True, False)
    """
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    addresses = target.rpartition("/")[2].removeprefix("ipv4:").removeprefix("ipv6:").removeprefix("dns:")
    return all(_is_loopback_host(address) for address in addresses.split(","))


def _is_host_name(target: str) -> bool:
    scheme, address = _split_scheme(target)
    host = address.rpartition(":")[0].strip("[]")
    try:
        ip_address(host)
    except ValueError:
        return scheme in ("", "dns") and not is_loopback(target)
    return False


def _is_loopback_host(address: str) -> bool:
    host = address.partition("]")[0].lstrip("[") if address.startswith("[") else address.partition(":")[0]
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
