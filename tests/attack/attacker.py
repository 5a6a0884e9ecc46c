"""Run one attack in a process of its own: prints "ready", reads a line with the ports, and prints what it received."""

from __future__ import annotations

import json
import os
import sys

import uvloop

from tests.attack.attack import Received, Target
from tests.attack.catalog import attack_named

NICENESS = 5
"""The attacker leaves the processors to the server and the victim, almost as if it ran on another machine."""


async def _send(name: str, target: Target) -> Received:
    return await attack_named(name).send(target)


def main() -> None:
    """Run the attack named by the argument."""
    os.nice(NICENESS)
    print("ready", flush=True)
    ports = map(int, sys.stdin.readline().split())
    received = uvloop.run(_send(sys.argv[1], Target(*ports)))
    print(json.dumps({"outcomes": received.outcomes, "figures": received.figures}))


if __name__ == "__main__":
    main()
