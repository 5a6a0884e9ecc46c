"""Arguments that several commands share: connection to the gateway, and output format."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from .._transport.settings import DEFAULT_TARGET, TARGET_ENV, TOKEN_ENV
from ..client import AIManager
from ..embedded import missing_package
from ..errors import ConfigurationError
from .console import Console

Command: TypeAlias = Callable[[AIManager, argparse.Namespace, Console], int]
"""Run a command and return its exit code."""
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

PROBE_SECONDS = 0.25
"""How long to wait for a connection to the default target, which is on this machine."""


def add_command(subparsers: Subparsers, name: str, description: str, command: Command) -> argparse.ArgumentParser:
    """Add a command with the shared arguments, and return its parser."""
    parser = subparsers.add_parser(name, help=description, description=description)
    parser.set_defaults(command=command, parser=parser)
    parser.add_argument("--json", action="store_true", help="print JSON, also on errors")
    gateway = parser.add_argument_group("gateway")
    gateway.add_argument(
        "--target",
        metavar="HOST:PORT",
        help=f"address of the gateway (default: ${TARGET_ENV}, else {DEFAULT_TARGET} if a gateway listens there, "
        "else a gateway in this process if the server is installed)",
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
    target = options.target or environment.get(TARGET_ENV)
    if embeds(target, options):
        return AIManager.embedded(
            model=getattr(options, "model", None),
            timeout=options.timeout,
            keep_conversations=getattr(options, "keeps_conversations", False),
        )
    return AIManager.gateway(
        target or DEFAULT_TARGET,
        token=options.token or environment.get(options.token_env) or None,
        tls=options.tls,
        root_certificates=_read_certificates(options.ca),
        timeout=options.timeout,
    )


def embeds(
    target: str | None,
    options: argparse.Namespace,
    is_listening: Callable[[str], bool] | None = None,
    missing: Callable[[], str] = missing_package,
) -> bool:
    """Return whether the server runs in this process: no target, no gateway at the default one, and it is installed."""
    if target or options.token or options.tls or options.ca or missing():
        return False
    return not (is_listening or _is_listening)(DEFAULT_TARGET)


def _is_listening(target: str) -> bool:
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def _read_certificates(path: str | None) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path!r}: {error.strerror}.", solution="Check the path.") from error
