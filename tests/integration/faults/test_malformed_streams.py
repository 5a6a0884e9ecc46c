"""Irregular streams: every legal form is read, and no malformed content reaches the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from aimanager.v1 import generation_pb2, usage_pb2
from tests.integration.faults.fault_catalog import responds, streams
from tests.integration.faults.gateway import FALLBACK, attempts_of, gateway, streamed_text, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Delay, Step, Upstream
from tests.integration.faults.wires import (
    DONE,
    TEXT,
    WORDS,
    StreamEvents,
    chat_event,
    chat_usage,
    chat_usage_event,
    sse_event,
)
from tests.support.http_servers.raw import SocketFault

Edit = Callable[[StreamEvents], Sequence[Step]]
WIRES = ("chat_completions", "anthropic")
TOOL = generation_pb2.Tool(name="look", description="Looks.")
MALFORMED = b'data: {"choices": [{"ind\n\n'
REPORTED, ESTIMATED, MISSING = (
    usage_pb2.USAGE_SOURCE_REPORTED,
    usage_pb2.USAGE_SOURCE_ESTIMATED,
    usage_pb2.USAGE_SOURCE_MISSING,
)


def joined(events: StreamEvents) -> bytes:
    return b"".join(events.all())


def single_bytes(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def split_over_data_lines(events: StreamEvents) -> bytes:
    """Return the stream with each document split over three data lines."""
    return joined(events).replace(b', "', b',\ndata: "').replace(b"data: \n", b"")


@scenario(14)
def test_a_malformed_event_before_the_first_content_is_retried() -> None:
    first = Upstream(streams(lambda events: (MALFORMED, *events.all(), b"")), responds())

    with gateway(first) as server:
        response = server.stream()[-1].completed

    assert text_of(response) == TEXT


@scenario(14)
@pytest.mark.parametrize("wire", WIRES)
def test_a_malformed_event_after_content_interrupts_the_stream(wire: str) -> None:
    malformed = streams(
        lambda events: (
            *events.opening,
            *events.words[:20],
            Delay(0.1),
            MALFORMED,
            *events.words[20:],
            *events.ending,
        )
    )
    first, second = Upstream(malformed, wire=wire), Upstream(responds())

    with gateway(first, second) as server:
        failure = server.stream_failure(fallback_models=FALLBACK)
        response = server.generate(fallback_models=FALLBACK)

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert "".join(WORDS[:20]).startswith(streamed_text(failure.events))
    assert text_of(response) == TEXT
    assert attempts_of(response.execution)[-1] == ("second", "")


@scenario(15)
def test_a_document_split_over_two_events_is_rejected() -> None:
    def split(events: StreamEvents) -> Sequence[Step]:
        half = len(events.words[1]) // 2
        parts = (events.words[1][:half] + b"\n\n", b"data: " + events.words[1][half:])
        return (*events.opening, events.words[0], *parts, *events.words[2:], *events.ending, b"")

    with gateway(Upstream(streams(split))) as server:
        failure = server.stream_failure()

    assert failure.reason in ("STREAM_INTERRUPTED", "PROVIDER_PROTOCOL")
    assert streamed_text(failure.events) in ("", WORDS[0])


FRAMINGS: dict[str, Edit] = {
    "a byte at a time": lambda events: [*single_bytes(joined(events)), b""],
    "CRLF": lambda events: (joined(events).replace(b"\n", b"\r\n"), b""),
    "CRLF, a byte at a time": lambda events: [*single_bytes(joined(events).replace(b"\n", b"\r\n")), b""],
    "CR": lambda events: (joined(events).replace(b"\n", b"\r"), b""),
    "byte order mark": lambda events: (b"\xef\xbb\xbf" + joined(events), b""),
    "several data lines": lambda events: (split_over_data_lines(events), b""),
    "comments": lambda events: (b": hello\n\n" + joined(events).replace(b"data:", b": x\nid: 7\nretry: 5\ndata:"), b""),
    "no space after the colon": lambda events: (joined(events).replace(b"data: ", b"data:"), b""),
    "a line of a megabyte": lambda events: (b": " + b"x" * 1_000_000 + b"\n\n" + joined(events), b""),
    "no final blank line": lambda events: (joined(events).rstrip(b"\n"), b""),
}


@scenario(15)
@pytest.mark.parametrize("wire", WIRES)
def test_every_legal_framing_is_read(wire: str) -> None:
    upstreams = [Upstream(streams(framing), wire=wire) for framing in FRAMINGS.values()]

    with gateway(*upstreams) as server:
        streamed = [server.stream(upstream.model) for upstream in upstreams]

    for name, events in zip(FRAMINGS, streamed, strict=True):
        assert streamed_text(events) == text_of(events[-1].completed) == TEXT, name


@scenario(16)
@pytest.mark.parametrize(
    ("content", "text"),
    [("Grüße 😀 👩‍👩‍👧 e\u0301", "Grüße 😀 👩‍👩‍👧 e\u0301"), ("\\ud83d\\ude00", "😀")],
    ids=["characters", "surrogates"],
)
def test_characters_split_across_chunks_are_joined(content: str, text: str) -> None:
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n' % content.encode()
    data = event + chat_event({}, "stop")

    with gateway(Upstream(streams(lambda events: [*single_bytes(data), b""]))) as server:
        events = server.stream()

    assert streamed_text(events) == text_of(events[-1].completed) == text


@scenario(16)
def test_invalid_bytes_are_replaced() -> None:
    data = b'data: {"choices": [{"index": 0, "delta": {"content": "caf\xff"}}]}\n\n' + chat_event({}, "stop")

    with gateway(Upstream(streams(lambda events: (data, b"")))) as server:
        events = server.stream()

    assert text_of(events[-1].completed) == "caf\ufffd"


ENDINGS: dict[str, Edit] = {
    "no end marker": lambda events: (*events.opening, *events.words, *events.ending[:-1], b""),
    "two end markers": lambda events: (*events.all(), DONE, b""),
    "data after the end marker": lambda events: (*events.all(), chat_event({"content": "more"}), b""),
    "two finish reasons": lambda events: (*events.opening, *events.words, chat_event({}, "stop"), *events.ending, b""),
    "stall after the end marker": lambda events: (*events.all(), SocketFault.STALL),
}


@scenario(17)
def test_a_stream_completes_once_whatever_follows_its_end() -> None:
    upstreams = [Upstream(streams(ending)) for ending in ENDINGS.values()]

    with gateway(*upstreams) as server:
        streamed = [server.stream(upstream.model, timeout=5.0) for upstream in upstreams]

    for name, events in zip(ENDINGS, streamed, strict=True):
        assert streamed_text(events) == text_of(events[-1].completed) == TEXT, name
        assert events[-1].completed.finish_reason == generation_pb2.FINISH_REASON_STOP, name


ZERO_USAGE = sse_event({"choices": [], "usage": chat_usage(0) | {"prompt_tokens": 0}})
USAGES: dict[str, tuple[Edit, tuple[int, ...]]] = {
    "missing": (lambda events: (*events.opening, *events.words, events.ending[0], DONE, b""), (ESTIMATED, MISSING)),
    "zero": (
        lambda events: (*events.opening, *events.words, events.ending[0], ZERO_USAGE, DONE, b""),
        (ESTIMATED, MISSING),
    ),
    "twice": (
        lambda events: (
            *events.opening,
            *events.words,
            events.ending[0],
            chat_usage_event(60),
            chat_usage_event(60),
            DONE,
            b"",
        ),
        (REPORTED,),
    ),
    "with a choice": (
        lambda events: (*events.opening, *events.words, chat_event({}, "stop", usage=chat_usage(60)), DONE, b""),
        (REPORTED,),
    ),
    "cumulative": (
        lambda events: (
            *events.opening,
            *(chat_event({"content": word}, usage=chat_usage(number)) for number, word in enumerate(WORDS, 1)),
            *events.ending,
            b"",
        ),
        (REPORTED,),
    ),
}


@scenario(18)
def test_irregular_usage_is_counted_once_with_its_source() -> None:
    upstreams = [Upstream(streams(edit)) for edit, _ in USAGES.values()]

    with gateway(*upstreams) as server:
        usages = [server.stream(upstream.model)[-1].completed.usage for upstream in upstreams]

    for (name, (_, sources)), usage in zip(USAGES.items(), usages, strict=True):
        assert usage.source in sources, name
        if usage.source == REPORTED:
            assert (usage.input_tokens, usage.output_tokens) == (11, 60), name


@scenario(18)
def test_impossible_usage_is_corrected_and_estimated() -> None:
    def ending_with(usage: dict[str, object]) -> Upstream:
        ending = chat_event({}, "stop", usage={**chat_usage(60), **usage}).replace(b"Infinity", b"1e400")
        return Upstream(streams(lambda events: (*events.opening, *events.words, ending, DONE, b"")))

    cached = ending_with({"prompt_tokens_details": {"cached_tokens": 700}})
    infinite = ending_with({"completion_tokens": float("inf")})

    with gateway(cached, infinite) as server:
        limited, estimated = (server.stream(upstream.model)[-1].completed.usage for upstream in (cached, infinite))

    assert (limited.input_tokens, limited.cache_read_tokens, limited.output_tokens) == (11, 11, 60)
    assert (estimated.input_tokens, estimated.output_tokens) == (11, -(-len(TEXT) // 4))
    assert limited.source == estimated.source == ESTIMATED


def tool_fragment(arguments: str, **fields: object) -> bytes:
    """Return a fragment of a tool call."""
    name = {"name": fields.pop("name")} if "name" in fields else {}
    return chat_event({"tool_calls": [{**fields, "function": {**name, "arguments": arguments}}]})


TOOL_CALLS: dict[str, tuple[tuple[bytes, ...], list[str]]] = {
    "interleaved": (
        (
            tool_fragment('{"a"', index=0, id="c1", name="look"),
            tool_fragment('{"b"', index=1, id="c2", name="look"),
            tool_fragment(": 1}", index=0),
            tool_fragment(": 2}", index=1),
        ),
        ['{"a": 1}', '{"b": 2}'],
    ),
    "without an index": (
        (tool_fragment('{"a"', id="c1", name="look"), tool_fragment(": 1}", id="c1")),
        ['{"a": 1}'],
    ),
    "without arguments": ((tool_fragment("", index=0, id="c1", name="look"),), ["{}"]),
}


@scenario(19)
@pytest.mark.parametrize(("fragments", "arguments"), TOOL_CALLS.values(), ids=TOOL_CALLS.keys())
def test_tool_call_fragments_are_joined(fragments: tuple[bytes, ...], arguments: list[str]) -> None:
    calls = streams(lambda events: (*events.opening, *fragments, chat_event({}, "tool_calls"), DONE, b""))

    with gateway(Upstream(calls)) as server:
        response = server.stream(tools=[TOOL])[-1].completed

    assert [part.tool_call.arguments_json for part in response.message.parts] == arguments
    assert response.finish_reason == generation_pb2.FINISH_REASON_TOOL_CALLS
