"""Which of the server's keys a call goes out with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..core.handler import Clock
from ..core.request import NO_KEY, ApiKey

REFUSED_SECONDS = 300.0
"""How long a key rests that was refused, where nobody says else."""

NEVER = float("-inf")

Spread = Literal["weighted", "least_loaded"]


@dataclass(slots=True)
class _Kept:
    key: ApiKey
    weight: int
    turn: int = 0
    under_way: int = 0
    rests_until: float = NEVER


class KeyRing:
    """Several keys of one provider that share its calls; one that was refused rests for a while.

    `secrets` are the keys, each with its weight; their ids are their positions, from "1". They take turns by weight, or
    the one with the fewest calls under way goes first.

    >>> ring = KeyRing([("a", 2), ("b", 1)], clock=lambda: 0.0)
    >>> [next(ring.candidates()).id for call in range(6)]
    ['1', '2', '1', '1', '2', '1']
    """

    def __init__(self, secrets: Sequence[tuple[str, int]], clock: Clock, spread: Spread = "weighted") -> None:
        self._kept = [_Kept(ApiKey(str(place), secret), weight) for place, (secret, weight) in enumerate(secrets, 1)]
        self._by_id = {kept.key.id: kept for kept in self._kept}
        self._clock = clock
        self.counts = spread == "least_loaded" and len(self._kept) > 1

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def quarantined(self) -> int:
        """How many keys rest because they were refused."""
        now = self._clock()
        return sum(kept.rests_until > now for kept in self._kept)

    def candidates(self) -> Iterator[ApiKey]:
        """The keys to try, best first. Where all of them rest, the one alone that does so for the shortest time."""
        if len(self._kept) < 2:
            yield from (kept.key for kept in self._kept)
            return
        rested = self._rested()
        if not rested:
            yield self.first()
            return
        first = self._next(rested)
        yield first.key
        others = [kept for kept in rested if kept is not first]
        for kept in sorted(others, key=_load) if self.counts else others:
            if kept.rests_until <= self._clock():  # another call may have been refused meanwhile
                yield kept.key

    def first(self) -> ApiKey:
        """A key for what is no call, such as a probe: no turn is taken. NO_KEY where there is none."""
        now = self._clock()
        return min(self._kept, key=lambda kept: max(kept.rests_until, now)).key if self._kept else NO_KEY

    def refused(self, key: ApiKey, seconds: float = REFUSED_SECONDS) -> None:
        """Let a key rest that the provider would not take. One that is not of this ring is nobody's affair."""
        kept = self._by_id.get(key.id)
        if kept is not None:
            kept.rests_until = self._clock() + seconds

    def taken(self, key: ApiKey) -> None:
        """A call with this key is under way."""
        self._by_id[key.id].under_way += 1

    def released(self, key: ApiKey) -> None:
        """A call with this key has ended."""
        self._by_id[key.id].under_way -= 1

    def _rested(self) -> list[_Kept]:
        now = self._clock()
        return [kept for kept in self._kept if kept.rests_until <= now]

    def _next(self, rested: list[_Kept]) -> _Kept:
        if self.counts:
            least = min(map(_load, rested))
            rested = [kept for kept in rested if kept.under_way == least]
        # Smooth weighted round-robin, as nginx does it: the shares hold over any short stretch too.
        for kept in rested:
            kept.turn += kept.weight
        first = max(rested, key=lambda kept: kept.turn)
        first.turn -= sum(kept.weight for kept in rested)
        return first


def _load(kept: _Kept) -> int:
    return kept.under_way
