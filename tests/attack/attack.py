"""An attack: what it sends, to which server, and the bounds that the server must keep meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

MAX_ADDED_WAIT_MS = 100.0
"""How much longer than in the quiet run a call of another caller may take."""

MAX_PEAK_MIB = 200.0

MAX_LARGE_REQUEST_PEAK_MIB = 300.0
"""The peak while requests of 30 MiB are received, decoded and parsed one after the other: each step has a copy."""

MAX_KEPT_MIB = 64.0


class LogReader(Enum):
    """What the reader of the server's log does once the attack starts."""

    READS = "reads"
    STOPS = "stops reading"
    LEAVES = "closes the pipe"


@dataclass(frozen=True, slots=True)
class Target:
    """The ports of the server under attack and of its provider, all on loopback."""

    port: int
    metrics_port: int
    upstream_port: int


@dataclass(slots=True)
class Received:
    """What the attacker received: how often each outcome, and figures that the attack compares with its bounds.

    An outcome is "OK", the reason of an error, "bare" and the code of an error without a reason, or "no answer".
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    figures: dict[str, float] = field(default_factory=dict)


Send = Callable[[Target], Awaitable[Received]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. It ends by itself within seconds.

    `settings` are sections of the config file that are added to those of every attack. None for a bound means that the
    value is only reported. `max_kept_mib` bounds the memory kept after the attack, above that before it.
    `max_figures` bounds figures of the attack. `open_files` limits the descriptors of the server. `dns_fails` gives it
    a name server that never answers.
    """

    name: str
    sends: str
    send: Send
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    max_added_wait_ms: float | None = MAX_ADDED_WAIT_MS
    max_peak_mib: float | None = MAX_PEAK_MIB
    max_kept_mib: float | None = None
    max_figures: Mapping[str, float] = field(default_factory=dict)
    log_reader: LogReader = LogReader.READS
    open_files: int | None = None
    dns_fails: bool = False
