"""What an upstream can do to a request, well or badly: the answers that scripts are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from tests.integration.faults.upstream import Act, Answer, Asked, Flood, Pause, Step
from tests.integration.faults.wires import TEXT, WORDS, Streamed, begun, chunk, http, plain, streamed

PING = b": ping\n\n"
SEEN_SECONDS = 0.08
"""By when what was sent has been read: a reset takes along what was not."""


def says(words: Iterable[str] = WORDS, late: float = 0.0) -> Answer:
    """A whole answer, in the shape that was asked for; `late` seconds pass between its headers and its text."""
    said = tuple(words)

    def answer(asked: Asked) -> Sequence[Step]:
        if not asked.streams:
            return (Pause(late), http(plain(asked, said)))
        return (begun(), Pause(late), *map(chunk, streamed(asked, said).whole()), chunk(b""))

    return answer


def refuses(status: int, message: str = "Not now.", *headers: str, kind: str = "", code: str = "") -> Answer:
    """An error with its status and headers."""
    error = {"type": kind or "api_error", "message": message, "code": code or None}
    body = json.dumps({"type": "error", "error": error}).encode()
    return does(http(body, f"{status} Said", "application/json", *headers))


def errs(kind: str = "overloaded_error", after: int = 0) -> Answer:
    """A 200 whose stream holds an error after so many words; plain, a body that is one."""
    error = {"type": "error", "error": {"type": kind, "message": "Not now."}}
    body = json.dumps(error).encode()

    def answer(asked: Asked) -> Sequence[Step]:
        if not asked.streams:
            return (http(body),)
        said = streamed(asked)
        spoken = (*said.opening, *said.words[:after]) if after else ()
        return (begun(), *map(chunk, spoken), chunk(b"event: error\ndata: " + body + b"\n\n"), chunk(b""))

    return answer


def does(*steps: Step) -> Answer:
    """These steps, whatever is asked."""
    return lambda asked: steps


def streams(cut: Callable[[Streamed], Sequence[Step]], content_type: str = "text/event-stream") -> Answer:
    """A stream of the pieces that `cut` takes from a whole one; bytes are sent as chunks."""

    def answer(asked: Asked) -> Sequence[Step]:
        steps = cut(streamed(asked))
        return (begun(content_type), *(chunk(step) if isinstance(step, bytes) else step for step in steps))

    return answer


def resets() -> Answer:
    """Breaks the connection before it says anything."""
    return does(Act.RESET)


def keeps_silent() -> Answer:
    """Takes the request, and says nothing."""
    return does(Act.SILENCE)


def opens_and_keeps_silent() -> Answer:
    """Says that an answer comes, and then nothing."""
    return does(begun(), Act.SILENCE)


def pings(every: float = 0.05) -> Answer:
    """Shows that it lives, and nothing else."""
    step: tuple[Step, ...] = (chunk(PING), Pause(every))
    return does(begun(), *step * 200, Act.SILENCE)


def breaks_off(after: int = 40, how: Act = Act.CLOSE) -> Answer:
    """Says so many of its words, and then breaks the connection, or falls silent; plain, half its body."""

    def answer(asked: Asked) -> Sequence[Step]:
        if not asked.streams:
            body = http(plain(asked))
            return (body[: len(body) - len(TEXT) // 2], Pause(SEEN_SECONDS), how)
        said = streamed(asked)
        return (begun(), *map(chunk, (*said.opening, *said.words[:after])), Pause(SEEN_SECONDS), how)

    return answer


def trickles(every: float) -> Answer:
    """A whole answer, one byte at a time."""

    def answer(asked: Asked) -> Sequence[Step]:
        data = b"".join(map(chunk, streamed(asked).whole())) if asked.streams else http(plain(asked))
        head = (begun(),) if asked.streams else ()
        return (*head, *(step for byte in data for step in (bytes([byte]), Pause(every))))

    return answer


def floods(piece: bytes, times: int | None = None) -> Answer:
    """A stream without end, or nearly so, in the first word's place."""

    def answer(asked: Asked) -> Sequence[Step]:
        opening = streamed(asked).opening
        return (begun(), *map(chunk, opening), Flood(chunk(piece), times), Act.SILENCE)

    return answer
