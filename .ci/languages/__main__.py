"""Generate messages and gRPC stubs in other languages, and compile them where their compilers are installed.

Usage: make proto-languages [ARGS="go typescript"]. Each language has a package in build/languages/NAME afterwards.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from registry import LANGUAGES
from toolbox import CommandFailed, Language, MissingTool


def main(arguments: Sequence[str]) -> int:
    """Build the named languages, all by default, and return the exit status: 1 if an attempted step failed."""
    parser = argparse.ArgumentParser(prog="make proto-languages", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="LANGUAGE", help=f"any of {', '.join(LANGUAGES)} (default: all)")
    parser.add_argument("--check", action="store_true", help="build nothing; fail unless the languages are up to date")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in LANGUAGES]:
        parser.error(f"unknown language {unknown[0]!r}; choose from {', '.join(LANGUAGES)}")
    chosen = [LANGUAGES[name] for name in options.names or LANGUAGES]
    if options.check:
        return 0 if all(language.is_up_to_date() for language in chosen) else 1
    # Every language is built, also after one has failed.
    return 0 if all([build(language) for language in chosen]) else 1


def build(language: Language) -> bool:
    """Build one language, print its line, and return whether nothing failed."""
    try:
        result, succeeded = language.build(), True
    except MissingTool as missing:
        result, succeeded = f"skipped: {missing}", True
    except CommandFailed as failure:
        result, succeeded = f"FAILED: {failure}", False
    print(f"{language.name}: {result}", flush=True)
    return succeeded


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
