"""The `aimanager health` command."""

from __future__ import annotations

import argparse
import json
from contextlib import closing

from ..client import AIManager
from .console import Console, message_to_dict, messages_to_json
from .health_table import health_line, health_table
from .tables import quality_table


def add_health_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `health`."""
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--probe", action="store_true", help="test each provider first by fetching its model list")
    mode.add_argument("--watch", action="store_true", help="print each change until interrupted")
    mode.add_argument("--assess", action="store_true", help="show the quality of the providers over the last hour")


def health(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """Print the health of the providers, its changes, or their quality."""
    if options.watch:
        return _watch(client, options, console)
    if options.assess:
        return _assess(client, options, console)
    providers = client.health.list(probe=options.probe)
    if options.json:
        console.write(messages_to_json(*(provider.proto for provider in providers), as_list=True))
    else:
        console.write(f"{health_table(providers)}\n")
    return 1 if any(provider.status == "DOWN" for provider in providers) else 0


def _assess(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    providers = client.health.assess()
    if options.json:
        console.write(messages_to_json(*(provider.proto for provider in providers), as_list=True))
    else:
        console.write(f"{quality_table(providers)}\n")
    return 0


def _watch(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    with closing(client.health.watch()) as changes:
        for change in changes:
            line = json.dumps(message_to_dict(change.proto)) if options.json else health_line(change)
            console.write(f"{line}\n")
    return 0
