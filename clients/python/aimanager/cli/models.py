"""The `aimanager models` command."""

from __future__ import annotations

import argparse

from ..client import AIManager
from ..errors import AIError
from .console import Console, messages_to_json
from .models_table import LEGEND, models_table


def add_models_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `models`."""
    parser.add_argument("--provider", default="", metavar="NAME", help="list only the models of this provider")
    parser.add_argument(
        "--capability",
        action="append",
        metavar="NAME",
        help="list only models with this capability, such as reasoning; repeatable",
    )
    parser.add_argument("--available", action="store_true", help="list only models that can be called now")
    parser.add_argument("--refresh", action="store_true", help="fetch the providers' model lists first")


def models(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """List models as a table or as JSON."""
    listed = client.models.list(
        options.provider,
        capabilities=options.capability or (),
        available_only=options.available,
        refresh=options.refresh,
    )
    if options.refresh and not options.provider:
        _report_incomplete_lists(client, console)
    if options.json:
        console.write(messages_to_json(*(model.proto for model in listed), as_list=True))
        return 0
    console.write(f"{models_table(listed)}\n")
    if console.stdout.isatty():
        console.write(f"\n{LEGEND}\n")
    return 0


def _report_incomplete_lists(client: AIManager, console: Console) -> None:
    """Report the providers whose model list could not be fetched.

    The gateway keeps the outcome of a refresh for some seconds, so this sends nothing to a provider.
    """
    for health in client.health.list():
        if health.status == "NOT_CONFIGURED":
            continue
        try:
            client.models.list(health.provider, refresh=True)
        except AIError as error:
            notice = f"models of {health.provider} may be incomplete: {error} {error.solution}"
            console.write_line_to_stderr(notice.rstrip())
