"""What was asked and what it took, minute by minute, for a day."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..core.handler import Clock
from ..core.usage import Cost, Usage
from .usage_row import Row, Tally

MINUTE_SECONDS = 60.0
DAY_SECONDS = 86_400.0
HOUR_MINUTES = 60
DAY_MINUTES = 1440
MOST_TALLIES = 50_000
"""35 models that are busy in every minute of a day; beyond, the oldest minutes are forgotten sooner."""

OTHER = "other"

Tallies = dict[tuple[str, str], Tally]
"""By provider and model."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Sums of a window: from when to when in seconds since 1970, uptime in seconds, rows by provider and model."""

    began_at: float
    ended_at: float
    uptime: float
    total: Row
    rows: tuple[Row, ...]


class Sums:
    """Sums by provider and model, in minutes since the server began. `clock` is monotonic, `now` seconds since 1970.

    `known` says whether a provider and model may have a row; any other model counts as "other", so that callers cannot
    make rows by inventing names.
    """

    def __init__(self, clock: Clock, now: Clock, known: Callable[[str, str], bool]) -> None:
        self._clock = clock
        self._now = now
        self._known = known
        self._began = clock()
        self._minute = 0
        self._current: Tallies = {}
        self._minutes: deque[tuple[int, Tallies]] = deque([(0, self._current)])
        self._hours: dict[int, Tallies] = {}
        self._oldest = 0
        self._kept = 0

    def ended(
        self,
        provider: str,
        model: str,
        reason: str,
        *,
        fell_back: bool,
        latency: float | None,
        first_token: float | None,
    ) -> None:
        """A call ended: `reason` is empty where it was answered, `fell_back` where another target did that.

        `provider` and `model` are the target that was asked first. Times are in seconds, and count for answers only.
        """
        self._tally(provider, model).ended(reason, fell_back=fell_back, latency=latency, first_token=first_token)

    def spent(self, provider: str, model: str, usage: Usage, cost: Cost | None) -> None:
        """An attempt took this, at the target named; None where the price is not known."""
        self._tally(provider, model).spent(usage, cost)

    def summary(self, window: float, provider: str = "", model: str = "") -> Summary:
        """The sums of the last `window` seconds, at most a day, beginning with a whole minute.

        So they reach up to a minute further back than asked, but never to before the server began. Filters that nobody
        answers to, such as a model never used, leave no rows. A model may be named with its provider, as in "a/b".
        """
        self._turn()
        uptime = self._clock() - self._began
        first = max(int((uptime - min(window, DAY_SECONDS)) // MINUTE_SECONDS), self._oldest)
        joined: Tallies = {}
        for tallies in self._since(first):
            _join(joined, {key: tally for key, tally in tallies.items() if _is_asked(key, provider, model)})
        total = Tally()
        for tally in joined.values():
            total.join(tally)
        now = self._now()
        began_at = now - (uptime - first * MINUTE_SECONDS)
        return Summary(began_at, now, uptime, total.row(), tuple(joined[key].row(*key) for key in sorted(joined)))

    def _tally(self, provider: str, model: str) -> Tally:
        if self._clock() - self._began >= (self._minute + 1) * MINUTE_SECONDS:
            self._turn()
        return self._current.get((provider, model)) or self._open(provider, model)

    def _open(self, provider: str, model: str) -> Tally:
        key = (provider, model if self._known(provider, model) else OTHER)
        tally = self._current.get(key)
        if tally is None:
            tally = self._current[key] = Tally()
            self._kept += 1
            self._forget()
        return tally

    def _turn(self) -> None:
        """Make the minute that it is now the current one."""
        minute = int((self._clock() - self._began) // MINUTE_SECONDS)
        if minute == self._minute:
            return
        for tally in self._current.values():
            tally.pack()
        hour = self._minute // HOUR_MINUTES
        _join(self._hours.setdefault(hour, {}), self._current)
        if minute // HOUR_MINUTES > hour:
            for tally in self._hours[hour].values():
                tally.pack()
        self._minute, self._current = minute, {}
        self._minutes.append((minute, self._current))
        self._forget()

    def _forget(self) -> None:
        self._oldest = max(self._oldest, self._minute - DAY_MINUTES)
        while self._minutes[0][0] < self._oldest or (self._kept > MOST_TALLIES and len(self._minutes) > 1):
            minute, tallies = self._minutes.popleft()
            self._oldest = max(self._oldest, minute + 1)
            self._kept -= len(tallies)
        for hour in [hour for hour in self._hours if (hour + 1) * HOUR_MINUTES <= self._oldest]:
            del self._hours[hour]

    def _since(self, first: int) -> Iterator[Tallies]:
        """All from a minute on; by the hour where an hour is over and wholly wanted, as that is 60 times less work."""
        whole = range(-(-first // HOUR_MINUTES), self._minute // HOUR_MINUTES)
        for minute, tallies in self._minutes:
            if minute >= first and minute // HOUR_MINUTES not in whole:
                yield tallies
        for hour in whole:
            yield self._hours.get(hour, {})


def _join(into: Tallies, more: Tallies) -> None:
    for key, tally in more.items():
        into.setdefault(key, Tally()).join(tally)


def _is_asked(key: tuple[str, str], provider: str, model: str) -> bool:
    return provider in ("", key[0]) and model in ("", key[1], f"{key[0]}/{key[1]}")
