"""Distributes the calls of a provider over the server's API keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..core.handler import Clock
from ..core.provider_state import fingerprint_of
from ..core.request import NO_KEY, ApiKey

DEFAULT_QUARANTINE_SECONDS = 300.0
NEVER = float("-inf")

KeySelection = Literal["weighted", "least_loaded"]


@dataclass(slots=True)
class _PooledKey:
    key: ApiKey
    fingerprint: str
    weight: int
    current_weight: int = 0
    in_flight: int = 0
    quarantined_until: float = NEVER


class KeyPool:
    """Select a key for each call; quarantine keys that the provider rejected.

    `secrets` are the keys with their weights; their ids are their positions, from "1". Selection is round-robin by
    weight, or prefers the key with the fewest calls in flight.

    >>> pool = KeyPool([("a", 2), ("b", 1)], clock=lambda: 0.0)
    >>> [next(pool.candidates()).id for call in range(6)]
    ['1', '2', '1', '1', '2', '1']
    """

    def __init__(self, secrets: Sequence[tuple[str, int]], clock: Clock, selection: KeySelection = "weighted") -> None:
        self._keys = [
            _PooledKey(ApiKey(str(position), secret), fingerprint_of(secret), weight)
            for position, (secret, weight) in enumerate(secrets, 1)
        ]
        self._fingerprints = {pooled.key.secret: pooled.fingerprint for pooled in self._keys}
        self._by_id = {pooled.key.id: pooled for pooled in self._keys}
        self._clock = clock
        self.tracks_in_flight = selection == "least_loaded" and len(self._keys) > 1

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def quarantined_count(self) -> int:
        """Return the number of keys in quarantine."""
        now = self._clock()
        return sum(pooled.quarantined_until > now for pooled in self._keys)

    def fingerprint(self, secret: str) -> str:
        """Return the fingerprint of a key of this pool; empty for any other key and for a short one."""
        return self._fingerprints.get(secret, "")

    def candidates(self, preferred: str = "") -> Iterator[ApiKey]:
        """Yield the keys to try, best first: the one with the fingerprint `preferred` before all others.

        If all are quarantined, only the one released first.
        """
        if len(self._keys) < 2:
            yield from (pooled.key for pooled in self._keys)
            return
        usable = self._usable()
        if not usable:
            yield self.peek()
            return
        owner = next((pooled for pooled in usable if preferred and pooled.fingerprint == preferred), None)
        first = owner or self._select(usable)
        yield first.key
        others = [pooled for pooled in usable if pooled is not first]
        for pooled in sorted(others, key=_load) if self.tracks_in_flight else others:
            if pooled.quarantined_until <= self._clock():  # another call may have quarantined it meanwhile
                yield pooled.key

    def peek(self) -> ApiKey:
        """Return the key to use outside of calls, such as for a probe, without advancing the round-robin.

        Returns NO_KEY if the pool is empty.
        """
        now = self._clock()
        if not self._keys:
            return NO_KEY
        return min(self._keys, key=lambda pooled: max(pooled.quarantined_until, now)).key

    def quarantine(self, key: ApiKey, seconds: float = DEFAULT_QUARANTINE_SECONDS) -> None:
        """Exclude a key that the provider rejected. Ignores keys that are not in this pool."""
        pooled = self._by_id.get(key.id)
        if pooled is not None:
            pooled.quarantined_until = self._clock() + seconds

    def adopt_quarantines(self, previous: KeyPool) -> None:
        """Keep the keys in quarantine that are in quarantine in the pool that this one replaces."""
        until = {pooled.key.secret: pooled.quarantined_until for pooled in previous._keys}
        for pooled in self._keys:
            pooled.quarantined_until = until.get(pooled.key.secret, NEVER)

    def changed_ids(self, previous: KeyPool) -> frozenset[str]:
        """Return the ids that do not name the same key in both pools."""
        mine, others = ({pooled.key.id: pooled.key for pooled in pool._keys} for pool in (self, previous))
        return frozenset(key_id for key_id in {*mine, *others} if mine.get(key_id) != others.get(key_id))

    def acquire(self, key: ApiKey) -> None:
        """Count a call with this key as in flight."""
        self._by_id[key.id].in_flight += 1

    def release(self, key: ApiKey) -> None:
        """Count a call with this key as ended."""
        self._by_id[key.id].in_flight -= 1

    def _usable(self) -> list[_PooledKey]:
        now = self._clock()
        return [pooled for pooled in self._keys if pooled.quarantined_until <= now]

    def _select(self, usable: list[_PooledKey]) -> _PooledKey:
        if self.tracks_in_flight:
            least = min(map(_load, usable))
            usable = [pooled for pooled in usable if pooled.in_flight == least]
        # Smooth weighted round-robin, as in nginx: shares are even over any short sequence as well.
        for pooled in usable:
            pooled.current_weight += pooled.weight
        first = max(usable, key=lambda pooled: pooled.current_weight)
        first.current_weight -= sum(pooled.weight for pooled in usable)
        return first


def _load(pooled: _PooledKey) -> int:
    return pooled.in_flight
