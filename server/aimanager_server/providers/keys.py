"""Which of the server's keys a call goes out with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..handler import Clock
from ..settings_provider import Credential

QUARANTINE_SECONDS = 60.0


@dataclass(slots=True)
class _Key:
    key: str
    weight: int
    turn: int = 0
    refused_until: float = float("-inf")


class KeyRing:
    """Several keys of one provider, taking turns by weight; one that was refused rests for a while.

    >>> ring = KeyRing([Credential("a", 2), Credential("b", 1)], clock=lambda: 0.0)
    >>> [next(ring.candidates()) for call in range(6)]
    ['a', 'b', 'a', 'a', 'b', 'a']
    """

    def __init__(self, credentials: Sequence[Credential], clock: Clock) -> None:
        self._keys = [_Key(credential.key, credential.weight) for credential in credentials]
        self._clock = clock

    def __len__(self) -> int:
        return len(self._keys)

    def candidates(self) -> Iterator[str]:
        """The keys to try, best first. One that rests comes up only where all of them do."""
        if len(self._keys) == 1:
            yield self._keys[0].key
            return
        now = self._clock()
        rested = [key for key in self._keys if key.refused_until <= now]
        if not rested:
            yield from (key.key for key in sorted(self._keys, key=lambda key: key.refused_until)[:1])
            return
        # Smooth weighted round-robin, as nginx does it: the shares hold over any short stretch too.
        for key in rested:
            key.turn += key.weight
        first = max(rested, key=lambda key: key.turn)
        first.turn -= sum(key.weight for key in rested)
        yield first.key
        yield from (key.key for key in rested if key is not first)

    def refuse(self, refused: str) -> int:
        """Let a key rest that the provider would not take. Returns its position, which is fit for a log."""
        for position, key in enumerate(self._keys):
            if key.key == refused:
                key.refused_until = self._clock() + QUARANTINE_SECONDS
                return position
        return -1
