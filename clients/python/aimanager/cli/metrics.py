"""The `aimanager metrics` command."""

from __future__ import annotations

import argparse

from .._convert.monitoring import DEFAULT_WINDOW
from ..client import AIManager
from .console import Console, messages_to_json
from .tables import metrics_table


def add_metrics_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `metrics`."""
    parser.add_argument("--provider", metavar="NAME", help="show only this provider")
    parser.add_argument("--model", metavar="ID", help="show only this model, by its id without the provider")
    parser.add_argument(
        "--window",
        type=float,
        default=DEFAULT_WINDOW,
        metavar="SECONDS",
        help="length of the time window (default: one hour, at most a day)",
    )


def metrics(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """Print the metrics summary as a table or as JSON."""
    summary = client.metrics.get_summary(options.provider, model=options.model, window=options.window)
    console.write(messages_to_json(summary.proto) if options.json else f"{metrics_table(summary)}\n")
    return 0
