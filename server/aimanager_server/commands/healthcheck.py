"""Check that a server is ready, for container health checks: exit status 0 if it is, else 1."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

METHOD = "/grpc.health.v1.Health/Check"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if the service is SERVING; otherwise print the reason on one line and return 1."""
    options = _parser().parse_args(arguments)
    try:
        problem = _problem(options.address, options.service, options.timeout, options.tls_ca)
    except OSError as error:
        problem = f"cannot read {options.tls_ca}: {error.strerror}"
    if problem:
        print(f"{options.address}: {problem}", file=sys.stderr)
    return 1 if problem else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m aimanager_server.commands.healthcheck", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:50051", metavar="HOST:PORT", help="default: %(default)s")
    parser.add_argument(
        "--service", default="readiness", help="readiness, liveness or a service name (default: %(default)s)"
    )
    parser.add_argument("--timeout", type=float, default=1.0, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument("--tls-ca", type=Path, metavar="FILE", help="connect with TLS and trust these CA certificates")
    return parser


def _problem(address: str, service: str, timeout: float, tls_ca: Path | None) -> str:
    with _channel(address, tls_ca) as channel:
        check = channel.unary_unary(
            METHOD,
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        try:
            status = check(HealthCheckRequest(service=service), timeout=timeout).status
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    name = HealthCheckResponse.ServingStatus.Name(status)
    return "" if name == "SERVING" else f"{service or 'the server'} is {name}"


def _channel(address: str, tls_ca: Path | None) -> grpc.Channel:
    # A proxy from the environment must not intercept a check inside the container.
    options = [("grpc.enable_http_proxy", 0)]
    if tls_ca is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(tls_ca.read_bytes()), options)


if __name__ == "__main__":
    sys.exit(main())
