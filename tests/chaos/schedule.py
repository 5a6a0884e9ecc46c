"""The calls of a load run. Each call depends only on the seed and its number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from aimanager.v1 import content_pb2, generation_pb2

BURST_INTERVAL_SECONDS, BURST_CALLS = 10.0, 360
PROVIDERS = ("first", "second", "third")
CALLERS = {"early": ("anna", "berta", "narrow"), "late": ("carla", "dora", "narrow")}
LATE_SECONDS = 40.0
"""Only the late callers send calls during this time at the end, so that their quota windows can be checked."""


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call and the behavior of its caller. Times are in seconds; `send_at` counts from the start of the run.

    `cancel_after` counts from sending, `cancel_at_event` is a number of stream events; None if the caller does not
    cancel. `read_delay` is a pause before each read of a slow reader.
    """

    id: str
    send_at: float
    caller: str
    prompt: str
    model: str
    fallbacks: tuple[str, ...]
    streaming: bool
    restart: bool
    timeout: float
    cancel_after: float | None = None
    cancel_at_event: int | None = None
    read_delay: float = 0.0
    idempotency_key: str = ""

    def request(self) -> generation_pb2.GenerateRequest:
        """Return the request of the call."""
        part = content_pb2.Part(text=f"{self.prompt} please")
        return generation_pb2.GenerateRequest(
            model=self.model,
            messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[part])],
            fallback_models=self.fallbacks,
            idempotency_key=self.idempotency_key,
        )


def planned_calls(seed: int, seconds: float, rate: float) -> list[PlannedCall]:
    """Return the calls of a run in order: `rate` per second, and periodic bursts."""
    times = enumerate(sorted(_send_times(seed, seconds, rate)))
    return [
        _plan(seed, number, send_at, CALLERS["early" if send_at < seconds - LATE_SECONDS else "late"])
        for number, send_at in times
    ]


def _send_times(seed: int, seconds: float, rate: float) -> Iterator[float]:
    random = Random(f"{seed}/times")
    for _ in range(int(seconds * rate)):
        yield random.uniform(0.0, seconds)
    burst_at = BURST_INTERVAL_SECONDS / 4
    while burst_at < seconds:
        for _ in range(BURST_CALLS):
            yield burst_at + random.uniform(0.0, 0.3)
        burst_at += BURST_INTERVAL_SECONDS


def _plan(seed: int, number: int, send_at: float, callers: tuple[str, ...]) -> PlannedCall:
    random = Random(f"{seed}/call/{number}")
    caller = random.choices(callers, (45, 45, 10))[0]
    streaming = random.random() < 0.5
    if random.random() < 0.1:
        return _idempotent_call(seed, number, send_at, caller, streaming)
    model = random.choices(("first/m", "second/m", "third/m", "mix"), (35, 20, 15, 30))[0]
    others = [f"{name}/m" for name in PROVIDERS if not model.startswith(name)]
    fallbacks = tuple(random.sample(others, random.randrange(1, 3))) if random.random() < 0.8 else ()
    read_delay = random.uniform(0.02, 0.08) if streaming and random.random() < 0.1 else 0.0
    cancel_after, cancel_at_event = _cancellation(random, streaming) if random.random() < 0.2 else (None, None)
    return PlannedCall(
        id=f"c{seed}-{number}",
        send_at=send_at,
        caller=caller,
        prompt=f"q{number}big" if read_delay else f"q{number}",
        model=model,
        fallbacks=() if model == "mix" else fallbacks,
        streaming=streaming,
        restart=streaming and random.random() < 0.5,
        timeout=random.uniform(0.05, 0.8) if random.random() < 0.1 else 12.0,
        cancel_after=cancel_after,
        cancel_at_event=cancel_at_event,
        read_delay=read_delay,
    )


def _cancellation(random: Random, streaming: bool) -> tuple[float | None, int | None]:
    phase = random.choice(("unsent", "early", "later", "event" if streaming else "later"))
    if phase == "event":
        return None, random.randrange(1, 12)
    return {"unsent": 0.0, "early": random.uniform(0.0, 0.02), "later": random.uniform(0.02, 0.9)}[phase], None


def _idempotent_call(seed: int, number: int, send_at: float, caller: str, streaming: bool) -> PlannedCall:
    """Return one of several calls with the same idempotency key, some of which overlap."""
    key = f"g{caller}{int(send_at * 2)}x{number % 3}"
    random = Random(f"{seed}/group/{key}")
    return PlannedCall(
        id=f"c{seed}-{number}",
        send_at=send_at,
        caller=caller,
        prompt=key,
        model=random.choice(("first/m", "second/m", "mix")),
        fallbacks=("third/m",) if random.random() < 0.7 else (),
        streaming=streaming,
        restart=streaming,
        timeout=12.0,
        cancel_after=0.15 if number % 7 == 0 else None,
        idempotency_key=key,
    )
