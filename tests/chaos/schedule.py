"""What each caller of the storm does, told by the seed and the number of the call alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from aimanager.v1 import content_pb2, generation_pb2

BURST_EVERY, BURST_CALLS = 10.0, 360
NAMES = ("first", "second", "third")
CALLERS = {"early": ("anna", "berta", "narrow"), "late": ("carla", "dora", "narrow")}
LATE_SECONDS = 40.0
"""For how long at the end the late callers call, whose whole minute can then be looked at afterwards."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One call: when it is sent, what it asks, and how its caller behaves. Times are in seconds.

    `cancel_after` is counted from the sending, `cancel_at` in events of the stream; None where that is not done.
    """

    id: str
    at: float
    caller: str
    question: str
    model: str
    fallbacks: tuple[str, ...]
    streaming: bool
    restarts: bool
    deadline: float
    cancel_after: float | None = None
    cancel_at: int | None = None
    slow: float = 0.0
    key: str = ""

    def request(self) -> generation_pb2.GenerateRequest:
        """The question."""
        turn = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=f"{self.question} please")])
        return generation_pb2.GenerateRequest(
            model=self.model, messages=[turn], fallback_models=self.fallbacks, idempotency_key=self.key
        )


def plans(seed: int, seconds: float, rate: float) -> list[Plan]:
    """All calls of a storm: so many a second, and bursts."""
    times = enumerate(sorted(_times(seed, seconds, rate)))
    return [
        _plan(seed, number, at, CALLERS["early" if at < seconds - LATE_SECONDS else "late"]) for number, at in times
    ]


def _times(seed: int, seconds: float, rate: float) -> Iterator[float]:
    random = Random(f"{seed}/times")
    for _ in range(int(seconds * rate)):
        yield random.uniform(0.0, seconds)
    begins = BURST_EVERY / 4
    while begins < seconds:
        for _ in range(BURST_CALLS):
            yield begins + random.uniform(0.0, 0.3)
        begins += BURST_EVERY


def _plan(seed: int, number: int, at: float, callers: tuple[str, ...]) -> Plan:
    random = Random(f"{seed}/call/{number}")
    caller = random.choices(callers, (45, 45, 10))[0]
    streaming = random.random() < 0.5
    if random.random() < 0.1:
        return _repeat(seed, number, at, caller, streaming)
    model = random.choices(("first/m", "second/m", "third/m", "mix"), (35, 20, 15, 30))[0]
    others = [f"{name}/m" for name in NAMES if not model.startswith(name)]
    fallbacks = tuple(random.sample(others, random.randrange(1, 3))) if random.random() < 0.8 else ()
    slow = random.uniform(0.02, 0.08) if streaming and random.random() < 0.1 else 0.0
    cancel_after, cancel_at = _cancel(random, streaming) if random.random() < 0.2 else (None, None)
    return Plan(
        id=f"c{seed}-{number}",
        at=at,
        caller=caller,
        question=f"q{number}big" if slow else f"q{number}",
        model=model,
        fallbacks=() if model == "mix" else fallbacks,
        streaming=streaming,
        restarts=streaming and random.random() < 0.5,
        deadline=random.uniform(0.05, 0.8) if random.random() < 0.1 else 12.0,
        cancel_after=cancel_after,
        cancel_at=cancel_at,
        slow=slow,
    )


def _cancel(random: Random, streaming: bool) -> tuple[float | None, int | None]:
    phase = random.choice(("unsent", "early", "later", "event" if streaming else "later"))
    if phase == "event":
        return None, random.randrange(1, 12)
    return {"unsent": 0.0, "early": random.uniform(0.0, 0.02), "later": random.uniform(0.02, 0.9)}[phase], None


def _repeat(seed: int, number: int, at: float, caller: str, streaming: bool) -> Plan:
    """One of a few calls with the same key, some of them at the same time."""
    group = f"g{caller}{int(at * 2)}x{number % 3}"
    random = Random(f"{seed}/group/{group}")
    return Plan(
        id=f"c{seed}-{number}",
        at=at,
        caller=caller,
        question=group,
        model=random.choice(("first/m", "second/m", "mix")),
        fallbacks=("third/m",) if random.random() < 0.7 else (),
        streaming=streaming,
        restarts=streaming,
        deadline=12.0,
        cancel_after=0.15 if number % 7 == 0 else None,
        key=group,
    )
