"""Upstreams that misbehave by chance, each answer of which is known by its text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from random import Random
from time import time
from typing import Any

from tests.integration.faults.fault_catalog import PING
from tests.integration.faults.upstream import Act, Asked, Flood, Pause, Step, Upstream
from tests.integration.faults.wires import begun, chunk, http, plain, streamed

LIMIT = 0.35
"""Seconds for which the server of the storm waits for content."""

Misdeed = Callable[[Asked, tuple[str, ...], Random], Sequence[Step]]


def question_of(asked: Asked) -> str:
    """The text that was asked."""
    content = asked.body["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[0]["text"]).partition(" ")[0]


def words_of(upstream: str, question: str, time_asked: int) -> tuple[str, ...]:
    """The answer to a question that is asked for the n-th time there, which is nobody else's."""
    tag, length = f"{upstream}.{question}.{time_asked}", 3 + Random(f"{upstream}{question}{time_asked}").randrange(20)
    filling = "x" * 2000 if "big" in question else ""
    words = 60 if filling else length
    return (f"<{tag}:", *(f" {place}{filling}" for place in range(words)), ">")


def is_whole(text: str) -> bool:
    """Whether it is one answer, from its beginning to its end."""
    return text == _origin(text)


def is_begun(text: str) -> bool:
    """Whether it is the beginning of one answer."""
    return not text or ":" not in text or _origin(text).startswith(text)


def _origin(text: str) -> str:
    tag = text.partition(":")[0].removeprefix("<")
    upstream, question, time_asked = (*tag.split("."), "", "")[:3]
    return "".join(words_of(upstream, question, int(time_asked or 0)))


class Mischief(Upstream):
    """Does by chance what upstreams do in bad times; what it does to a question is told by the seed alone.

    Of the requests, `healthy` (a share) are answered well. Once it `is_good` all are.
    """

    def __init__(self, name: str, seed: int, healthy: float, **said: Any) -> None:
        super().__init__(**said)
        self.name = name
        self.is_good = False
        self.did: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self._seed = seed
        self._healthy = healthy
        self._times: Counter[str] = Counter()
        self._misdeeds = tuple(MISDEEDS) + (("refused_key",) if "keys" in said else ())

    def answer(self, asked: Asked) -> Sequence[Step]:
        if asked.method == "GET":
            return self._list(asked)
        self.requests.append(asked)
        question = question_of(asked)
        self._times[question] += 1
        times = self._times[question]
        random = Random(f"{self._seed}/{self.name}/{question}/{times}")
        words = words_of(self.name, question, times)
        if self.is_good or random.random() < self._healthy:
            self.did["well"] += 1
            return _well(asked, words, random)
        name = random.choice(self._misdeeds)
        self.did[name] += 1
        if name == "reset_before_headers":
            self.resets[asked.headers.get("x-client-request-id", "")] += 1
        return _refused_key(asked, words, random) if name == "refused_key" else MISDEEDS[name](asked, words, random)

    def _list(self, asked: Asked) -> Sequence[Step]:
        self.listings.append(asked)
        random = Random(f"{self._seed}/{self.name}/list/{len(self.listings)}")
        if self.is_good or random.random() < 0.7:
            return self.listing(asked)
        return (http(b"{}", "503 Said"),)


def _well(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    late, between = random.uniform(0.0, 0.12), random.choice((0.0, 0.0, 0.01))
    if not asked.streams:
        return (Pause(late), http(plain(asked, words)))
    said = streamed(asked, words)
    spoken = (step for word in said.words for step in (chunk(word), Pause(between) if between else b""))
    return (begun(), Pause(late), *map(chunk, said.opening), *spoken, *map(chunk, said.ending), chunk(b""))


def _refusal(status: int, *headers: str, kind: str = "api_error") -> Sequence[Step]:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "Not now.", "code": None}}).encode()
    return (http(body, f"{status} Said", "application/json", *headers),)


def _advised(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    advice = random.choice(
        ("Retry-After: 0", "Retry-After: 0.2", "Retry-After: 1", "Retry-After: junk", "retry-after-ms: 50",
         f"Retry-After: {formatdate(time() + 1, usegmt=True)}")
    )  # fmt: skip
    return _refusal(429, advice, kind="rate_limit_error")


def _refused_key(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    return _refusal(401, kind="authentication_error")


def _in_band(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    body = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Not now."}}'
    if not asked.streams:
        return (http(body),)
    said = streamed(asked, words)
    spoken = (*said.opening, *said.words[:2]) if random.random() < 0.5 else ()
    return (begun(), *map(chunk, spoken), chunk(b"event: error\ndata: " + body + b"\n\n"), chunk(b""))


def _late(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    first, *rest = _well(asked, words, random)
    return (first, Pause(random.uniform(1.5, 3.0) * LIMIT), *rest)


def _broken(how: Act) -> Misdeed:
    def misdeed(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
        if not asked.streams:
            whole = http(plain(asked, words))
            return (whole[: len(whole) - 10], Pause(0.01), how)
        said = streamed(asked, words)
        kept = said.words[: random.randrange(1, len(said.words))]
        return (begun(), *map(chunk, (*said.opening, *kept)), Pause(0.01), how)

    return misdeed


def _garbled(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    if not asked.streams:
        return (http(b'{"choices": [{"mess'),)
    said = streamed(asked, words)
    return (begun(), *map(chunk, (*said.opening, *said.words[:2], b"data: {{{\n\n")), chunk(b""))


def _noise(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    return (random.randbytes(300), Act.CLOSE)


def _pings(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    step: tuple[Step, ...] = (chunk(PING), Pause(0.1))
    return (begun(), *step * 100, Act.SILENCE)


def _slow_body(asked: Asked, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    if asked.streams:
        said = streamed(asked, words)
        return (begun(), *(step for event in said.whole() for step in (chunk(event), Pause(0.1))), chunk(b""))
    whole = http(plain(asked, words))
    return tuple(step for at in range(0, len(whole), 40) for step in (whole[at : at + 40], Pause(0.02)))


def _says(*steps: Step) -> Misdeed:
    return lambda asked, words, random: steps


MISDEEDS: dict[str, Misdeed] = {
    "503": lambda asked, words, random: _refusal(503, *(("Retry-After: 0.3",) if random.random() < 0.3 else ())),
    "500": lambda asked, words, random: _refusal(500),
    "429": lambda asked, words, random: _refusal(429, kind="rate_limit_error"),
    "429_advised": _advised,
    "529": lambda asked, words, random: _refusal(529, kind="overloaded_error"),
    "in_band": _in_band,
    "reset_before_headers": _says(Act.RESET),
    "reset_after_headers": _says(begun(), Pause(0.01), Act.RESET),
    "silence": _says(Act.SILENCE),
    "silence_after_headers": _says(begun(), Act.SILENCE),
    "late": _late,
    "cut": _broken(Act.CLOSE),
    "cut_by_reset": _broken(Act.RESET),
    "stall": _broken(Act.SILENCE),
    "garbled": _garbled,
    "noise": _noise,
    "page": _says(http(b"<html>busy</html>", content_type="text/html")),
    "empty": _says(http(b"")),
    "pings": _pings,
    "slow_body": _slow_body,
    "flood_of_pings": _says(begun(), Flood(chunk(PING * 20), 20), Act.SILENCE),
}
