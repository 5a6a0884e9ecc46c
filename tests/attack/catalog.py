"""All attacks by name, in the order in which they are run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from tests.attack.attack import Attack, Received, Target
from tests.attack.attacks import (
    authentication,
    bombs,
    bursts,
    equal_streams,
    expensive,
    frames,
    listeners,
    logs,
    mock,
    name_lookups,
    options,
    probes,
    schemas,
    watches,
)

QUIET_SECONDS = 5.0


async def _send_nothing(target: Target) -> Received:
    await asyncio.sleep(QUIET_SECONDS)
    return Received()


QUIET = Attack("quiet", "nothing: the waits that the others are compared with", _send_nothing, max_added_wait_ms=None)

GROUPS = (
    bombs.ATTACKS,
    authentication.ATTACKS,
    mock.ATTACKS,
    options.ATTACKS,
    schemas.ATTACKS,
    expensive.ATTACKS,
    watches.ATTACKS,
    probes.ATTACKS,
    name_lookups.ATTACKS,
    bursts.ATTACKS,
    equal_streams.ATTACKS,
    frames.ATTACKS,
    logs.ATTACKS,
    listeners.ATTACKS,
)

ATTACKS: Mapping[str, Attack] = MappingProxyType({attack.name: attack for group in GROUPS for attack in group})


def attack_named(name: str) -> Attack:
    """Return an attack or the quiet run. Raises KeyError."""
    return QUIET if name == QUIET.name else ATTACKS[name]
