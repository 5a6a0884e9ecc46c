"""The `aimanager metrics` command."""

from __future__ import annotations

import argparse

from .._transport.settings import HOUR_SECONDS
from ..client import AIManager
from .console import Console, printed_json
from .tables import metrics_table


def metrics_arguments(metrics: argparse.ArgumentParser) -> None:
    """What `metrics` takes."""
    metrics.add_argument("--provider", metavar="NAME", help="only this provider's")
    metrics.add_argument("--model", metavar="ID", help="only this model's, by its id without the provider")
    metrics.add_argument(
        "--window",
        type=float,
        default=HOUR_SECONDS,
        metavar="SECONDS",
        help="up to now; an hour unless said, at most a day",
    )


def metrics(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """Prints what was asked and what it took."""
    summary = client.metrics.get_summary(options.provider, model=options.model, window=options.window)
    console.write(printed_json(summary.proto) if options.json else f"{metrics_table(summary)}\n")
    return 0
