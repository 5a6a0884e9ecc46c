"""Streams as clones and proxies write them: what is legal is read, what is not is never passed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from aimanager.v1 import generation_pb2, usage_pb2
from tests.integration.faults.fault_catalog import says, streams
from tests.integration.faults.gateway import NEXT, attempts_of, gateway, previewed, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Act, Pause, Step, Upstream
from tests.integration.faults.wires import DONE, TEXT, WORDS, Streamed, chat_event, counts, event, usage_event

Cut = Callable[[Streamed], Sequence[Step]]
TOOL = generation_pb2.Tool(name="look", description="Looks.")
MALFORMED = b'data: {"choices": [{"ind\n\n'
REPORTED, ESTIMATED, MISSING = (
    usage_pb2.USAGE_SOURCE_REPORTED,
    usage_pb2.USAGE_SOURCE_ESTIMATED,
    usage_pb2.USAGE_SOURCE_MISSING,
)


def joined(whole: Streamed) -> bytes:
    return b"".join(whole.whole())


def over_lines(whole: Streamed) -> bytes:
    """Each document over three data lines."""
    return joined(whole).replace(b', "', b',\ndata: "').replace(b"data: \n", b"")


@scenario(14)
def test_a_malformed_event_before_any_output_is_made_good() -> None:
    first = Upstream(streams(lambda whole: (MALFORMED, *whole.whole(), b"")), says())

    with gateway(first) as server:
        response = server.stream()[-1].completed

    assert text_of(response) == TEXT


@scenario(14)
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_a_malformed_event_within_the_output_is_never_passed_on(wire: str) -> None:
    broken = streams(
        lambda whole: (*whole.opening, *whole.words[:20], Pause(0.1), MALFORMED, *whole.words[20:], *whole.ending)
    )
    first, second = Upstream(broken, wire=wire), Upstream(says())

    with gateway(first, second, patience={"idle_text_seconds": 9.0}) as server:
        failure = server.interrupted(fallback_models=NEXT)
        response = server.answer(fallback_models=NEXT)

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert "".join(WORDS[:20]).startswith(previewed(failure.seen))
    assert text_of(response) == TEXT
    assert attempts_of(response.route)[-1] == ("second", "")


@scenario(15)
def test_half_a_document_an_event_is_never_passed_on() -> None:
    def halved(whole: Streamed) -> Sequence[Step]:
        half = len(whole.words[1]) // 2
        parts = (whole.words[1][:half] + b"\n\n", b"data: " + whole.words[1][half:])
        return (*whole.opening, whole.words[0], *parts, *whole.words[2:], *whole.ending, b"")

    with gateway(Upstream(streams(halved))) as server:
        failure = server.interrupted()

    assert failure.reason in ("STREAM_INTERRUPTED", "PROVIDER_PROTOCOL")
    assert previewed(failure.seen) in ("", WORDS[0])


FRAMINGS: dict[str, Cut] = {
    "a byte at a time": lambda whole: [bytes([byte]) for byte in joined(whole)] + [b""],
    "CRLF": lambda whole: (joined(whole).replace(b"\n", b"\r\n"), b""),
    "CRLF a byte at a time": lambda whole: [bytes([byte]) for byte in joined(whole).replace(b"\n", b"\r\n")] + [b""],
    "CR": lambda whole: (joined(whole).replace(b"\n", b"\r"), b""),
    "a byte order mark": lambda whole: (b"\xef\xbb\xbf" + joined(whole), b""),
    "several data lines": lambda whole: (over_lines(whole), b""),
    "comments": lambda whole: (b": hello\n\n" + joined(whole).replace(b"data:", b": so\nid: 7\nretry: 5\ndata:"), b""),
    "no space after the colon": lambda whole: (joined(whole).replace(b"data: ", b"data:"), b""),
    "a line of a megabyte": lambda whole: (b": " + b"x" * 1_000_000 + b"\n\n" + joined(whole), b""),
    "no last blank line": lambda whole: (joined(whole).rstrip(b"\n"), b""),
}


@scenario(15)
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_every_legal_framing_is_read(framing: Cut, wire: str) -> None:
    with gateway(Upstream(streams(framing), wire=wire)) as server:
        events = server.stream()

    assert previewed(events) == text_of(events[-1].completed) == TEXT


@scenario(16)
@pytest.mark.parametrize("text", ["Grüße 😀 👩‍👩‍👧 e\u0301", "\\ud83d\\ude00"], ids=["characters", "surrogates"])
def test_characters_split_anywhere_arrive_whole(text: str) -> None:
    said = (b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n' % text.encode()) + chat_event(
        {}, "stop"
    )

    with gateway(Upstream(streams(lambda whole: [bytes([byte]) for byte in said] + [b""]))) as server:
        events = server.stream()

    expected = text.encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16")
    assert text_of(events[-1].completed) == (expected if "\\" in text else text)
    assert previewed(events) == text_of(events[-1].completed)


@scenario(16)
def test_invalid_bytes_are_replaced() -> None:
    said = b'data: {"choices": [{"index": 0, "delta": {"content": "caf\xff"}}]}\n\n' + chat_event({}, "stop")

    with gateway(Upstream(streams(lambda whole: (said, b"")))) as server:
        assert text_of(server.stream()[-1].completed) == "caf\ufffd"


ENDINGS: dict[str, Cut] = {
    "no end marker": lambda whole: (*whole.opening, *whole.words, *whole.ending[:-1], b""),
    "two end markers": lambda whole: (*whole.whole(), DONE, b""),
    "data after the end": lambda whole: (*whole.whole(), chat_event({"content": "more"}), b""),
    "two finish reasons": lambda whole: (*whole.opening, *whole.words, chat_event({}, "stop"), *whole.ending, b""),
    "silence after the end": lambda whole: (*whole.whole(), Act.SILENCE),
}


@scenario(17)
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_an_answer_ends_once_whatever_follows(ending: Cut) -> None:
    with gateway(Upstream(streams(ending)), patience={"idle_text_seconds": 30.0}) as server:
        events = server.stream(seconds=5.0)

    assert previewed(events) == text_of(events[-1].completed) == TEXT
    assert events[-1].completed.finish_reason == generation_pb2.FINISH_REASON_STOP


COUNTED: dict[str, tuple[Cut, tuple[int, ...]]] = {
    "missing": (lambda whole: (*whole.opening, *whole.words, whole.ending[0], DONE, b""), (ESTIMATED, MISSING)),
    "zero": (
        lambda whole: (
            *whole.opening,
            *whole.words,
            whole.ending[0],
            event({"choices": [], "usage": counts(0) | {"prompt_tokens": 0}}),
            DONE,
            b"",
        ),
        (ESTIMATED, MISSING),
    ),
    "twice": (
        lambda whole: (*whole.opening, *whole.words, whole.ending[0], usage_event(60), usage_event(60), DONE, b""),
        (REPORTED,),
    ),
    "with a choice": (
        lambda whole: (*whole.opening, *whole.words, chat_event({}, "stop", usage=counts(60)), DONE, b""),
        (REPORTED,),
    ),
    "cumulative": (
        lambda whole: (
            *whole.opening,
            *(chat_event({"content": word}, usage=counts(number)) for number, word in enumerate(WORDS, 1)),
            *whole.ending,
            b"",
        ),
        (REPORTED,),
    ),
}


@scenario(18)
@pytest.mark.parametrize(("cut", "sources"), COUNTED.values(), ids=COUNTED.keys())
def test_usage_says_who_counted(cut: Cut, sources: tuple[int, ...]) -> None:
    with gateway(Upstream(streams(cut))) as server:
        usage = server.stream()[-1].completed.usage

    assert usage.source in sources
    if usage.source == REPORTED:
        assert (usage.input_tokens, usage.output_tokens) == (11, 60)


def piece(arguments: str, **facts: object) -> bytes:
    """A fragment of a tool call."""
    name = {"name": facts.pop("name")} if "name" in facts else {}
    return chat_event({"tool_calls": [{**facts, "function": {**name, "arguments": arguments}}]})


CALLS: dict[str, tuple[tuple[bytes, ...], list[str]]] = {
    "interleaved": (
        (
            piece('{"a"', index=0, id="c1", name="look"),
            piece('{"b"', index=1, id="c2", name="look"),
            piece(": 1}", index=0),
            piece(": 2}", index=1),
        ),
        ['{"a": 1}', '{"b": 2}'],
    ),
    "without an index": ((piece('{"a"', id="c1", name="look"), piece(": 1}", id="c1")), ['{"a": 1}']),
    "without arguments": ((piece("", index=0, id="c1", name="look"),), ["{}"]),
}


@scenario(19)
@pytest.mark.parametrize(("fragments", "arguments"), CALLS.values(), ids=CALLS.keys())
def test_tool_calls_are_joined_however_they_are_numbered(fragments: tuple[bytes, ...], arguments: list[str]) -> None:
    calls = streams(lambda whole: (*whole.opening, *fragments, chat_event({}, "tool_calls"), DONE, b""))

    with gateway(Upstream(calls)) as server:
        said = server.stream(tools=[TOOL])[-1].completed

    assert [part.tool_call.arguments_json for part in said.message.parts] == arguments
    assert said.finish_reason == generation_pb2.FINISH_REASON_TOOL_CALLS
