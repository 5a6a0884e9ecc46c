"""Arguments of a request that `ask` and `chat` share."""

from __future__ import annotations

import argparse
from typing import get_args

from ..options import Optimization, ReasoningEffort, RequestOptions
from ..types.cache_policy import CacheMode

EFFORTS = get_args(ReasoningEffort)
OPTIMIZATIONS = get_args(Optimization)
CACHE_MODES = get_args(CacheMode)


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add model, system instruction, sampling and reasoning."""
    parser.add_argument("-m", "--model", metavar="NAME", help="[provider/]id or [provider/]alias, such as claude/fast")
    parser.add_argument(
        "--fallback", action="append", metavar="NAME", help="model to try if the previous one fails; repeatable"
    )
    parser.add_argument("-s", "--system", metavar="TEXT", help="system instruction")
    parser.add_argument("-t", "--temperature", type=float, metavar="NUMBER", help="0.0 to 2.0; lower is more focused")
    parser.add_argument("--max-tokens", type=int, metavar="COUNT", help="limit of the answer's tokens")
    parser.add_argument("--reasoning", choices=EFFORTS, metavar="EFFORT", help=f"one of {', '.join(EFFORTS)}")
    parser.add_argument(
        "--show-reasoning", action="store_true", help="print the reasoning to stderr; effort medium unless --reasoning"
    )
    parser.add_argument(
        "--optimize",
        action="append",
        choices=OPTIMIZATIONS,
        metavar="WHAT",
        help="shorten the prompt: `whitespace` without meaning, or `history` that does not fit the model; repeatable",
    )
    parser.add_argument(
        "--cache",
        choices=CACHE_MODES,
        help="use the stored response of an equal request, refresh it, or neither (off)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print model, tokens, cost and latency to stderr")


def sampling_options(options: argparse.Namespace) -> RequestOptions:
    """Return the options of a request that these arguments set."""
    return {
        "model": options.model,
        "fallback_models": options.fallback,
        "system": options.system,
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
        "optimize": options.optimize,
        "cache": options.cache,
        "reasoning": options.reasoning or (True if options.show_reasoning else None),
    }
