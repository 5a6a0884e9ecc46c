"""Dataclasses that are frozen for the type checker only: creating a frozen one at run time costs ten times as much."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses

    def dataclass(**options):
        """Like `dataclasses.dataclass`, without the run-time check that `frozen` adds to every assignment."""
        if options.pop("frozen", False):
            options["unsafe_hash"] = options.get("eq", True)
        return dataclasses.dataclass(**options)
