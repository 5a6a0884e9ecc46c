"""Arguments that several commands share: connection to the gateway and output format."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from .._transport.settings import DEFAULT_TARGET, TARGET_ENV, TOKEN_ENV
from ..client import AIManager
from ..errors import ConfigurationError
from .console import Console

Command: TypeAlias = Callable[[AIManager, argparse.Namespace, Console], int]
"""Run a command and return its exit code."""
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    subparsers: Subparsers, name: str, description: str, command: Command, environment: Mapping[str, str]
) -> argparse.ArgumentParser:
    """Add a command with the shared arguments, and return its parser."""
    parser = subparsers.add_parser(name, help=description, description=description)
    parser.set_defaults(command=command)
    parser.add_argument("--json", action="store_true", help="print JSON")
    gateway = parser.add_argument_group("gateway")
    gateway.add_argument(
        "--target",
        metavar="HOST:PORT",
        default=environment.get(TARGET_ENV) or DEFAULT_TARGET,
        help=f"address of the gateway (default: ${TARGET_ENV}, else {DEFAULT_TARGET})",
    )
    token = gateway.add_mutually_exclusive_group()
    token.add_argument(
        "--token-env",
        default=TOKEN_ENV,
        metavar="NAME",
        help=f"environment variable with the gateway's token (default: {TOKEN_ENV})",
    )
    token.add_argument("--token", metavar="TOKEN", help="the token itself; visible to other users of this machine")
    gateway.add_argument("--tls", action="store_true", help="use TLS and trust the system's certificate authorities")
    gateway.add_argument("--ca", metavar="PATH", help="use TLS and trust the certificate authorities in this PEM file")
    gateway.add_argument("--timeout", type=float, metavar="SECONDS", help="timeout of the whole call")
    return parser


def connect(options: argparse.Namespace, environment: Mapping[str, str]) -> AIManager:
    """Create the client that the shared arguments describe. Raises ConfigurationError."""
    return AIManager.gateway(
        options.target,
        token=options.token or environment.get(options.token_env) or None,
        tls=options.tls,
        root_certificates=_read_certificates(options.ca),
        timeout=options.timeout,
    )


def _read_certificates(path: str | None) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path!r}: {error.strerror}.", solution="Check the path.") from error
