"""Content in irregular places and shapes reaches the caller, or the answer is not called complete."""

from __future__ import annotations

import json
from typing import Any

from aimanager.v1 import generation_pb2
from tests.integration.faults.fault_catalog import responds, sends, streams
from tests.integration.faults.gateway import (
    FALLBACK,
    SHORT_FIRST_TOKEN_TIMEOUTS,
    SHORT_IDLE_TIMEOUTS,
    SINGLE_ATTEMPT,
    attempts_of,
    gateway,
    streamed_text,
    text_of,
)
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Delay, Responder, Upstream
from tests.integration.faults.wires import DONE, TEXT, chat_event, chunk, sse_event, stream_headers
from tests.support.http_servers.raw import SocketFault, http_response

TOOL = generation_pb2.Tool(name="look", description="Looks.")
SHORT_TIMEOUTS = {**SHORT_FIRST_TOKEN_TIMEOUTS, **SHORT_IDLE_TIMEOUTS}


def sends_events(*events: bytes) -> Responder:
    return streams(lambda _: (*events, b""))


def gemini_event(text: str, finish: str | None = None) -> bytes:
    candidate = {"content": {"role": "model", "parts": {"text": text}}, "finishReason": finish}
    return sse_event({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}})


STREAMS: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "a finish reason with every chunk": (
        "chat_completions",
        (chat_event({"content": "The "}, "stop"), chat_event({"content": "end."}, "stop"), DONE),
    ),
    "a finish reason midway, and the end of the body": (
        "chat_completions",
        (chat_event({"content": "The "}), chat_event({}, "stop"), chat_event({"content": "end."})),
    ),
    "null as a string": (
        "chat_completions",
        (chat_event({"content": "The "}, "null"), chat_event({"content": "end."}, "null"), chat_event({}, "stop")),
    ),
    "message in place of delta": (
        "chat_completions",
        (
            sse_event({"choices": [{"message": {"content": "The "}}]}),
            sse_event({"choices": [{"message": {"content": "end."}, "finish_reason": "stop"}]}),
        ),
    ),
    "text of older servers": (
        "chat_completions",
        (
            sse_event({"choices": [{"text": "The "}]}),
            sse_event({"choices": [{"text": "end.", "finish_reason": "stop"}]}),
        ),
    ),
    "Gemini around a built-in tool": ("gemini", (gemini_event("The ", "STOP"), gemini_event("end.", "STOP"))),
}


@scenario(17, 37)
def test_content_after_a_finish_reason_or_in_an_older_shape_is_read() -> None:
    upstreams = [Upstream(sends_events(*events), wire=wire) for wire, events in STREAMS.values()]

    with gateway(*upstreams) as server:
        streamed = [server.stream(upstream.model) for upstream in upstreams]

    for name, events in zip(STREAMS, streamed, strict=True):
        assert streamed_text(events) == text_of(events[-1].completed) == "The end.", name
        assert events[-1].completed.finish_reason == generation_pb2.FINISH_REASON_STOP, name


@scenario(12, 37)
def test_a_cut_stream_with_a_finish_reason_in_every_chunk_is_interrupted() -> None:
    words = tuple(chunk(chat_event({"content": f"word{number} "}, "stop")) for number in range(3))
    first = Upstream(sends(stream_headers(), *words, Delay(0.1), SocketFault.CLOSE))

    with gateway(first, retry=SINGLE_ATTEMPT) as server:
        failure = server.stream_failure()

    assert failure.reason == "STREAM_INTERRUPTED"


USAGE = {"prompt_tokens": 3, "completion_tokens": 5}
LOST: dict[str, dict[str, Any]] = {
    "chat_completions": {"choices": [{"delta": {"words": "Hi"}, "finish_reason": "stop"}], "usage": USAGE},
    "gemini": {
        "candidates": [{"content": {"words": "Hi"}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 5},
    },
    "responses": {
        "type": "response.completed",
        "response": {"status": "completed", "output": [], "usage": {"input_tokens": 3, "output_tokens": 5}},
    },
}
MESSAGE: dict[str, Any] = {"stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 5}}
LOST_BODIES: dict[str, dict[str, Any]] = {
    **LOST,
    "responses": LOST["responses"].get("response", {}),
    "anthropic": {**MESSAGE, "content": [{"type": "words", "words": "Hi"}]},
}


@scenario(20, 37)
def test_an_answer_whose_content_is_lost_falls_back() -> None:
    streamed = [Upstream(sends_events(sse_event(document), DONE), wire=wire) for wire, document in LOST.items()]
    unary = [Upstream(sends(http_response(json.dumps(body).encode())), wire=wire) for wire, body in LOST_BODIES.items()]
    last = Upstream(responds())

    with gateway(*streamed, *unary, last, retry={"max_attempts": 3}) as server:
        fallback = (last.model,)
        responses = [server.stream(each.model, fallback_models=fallback)[-1].completed for each in streamed]
        responses += [server.generate(each.model, fallback_models=fallback) for each in unary]

    for upstream, response in zip((*streamed, *unary), responses, strict=True):
        assert text_of(response) == TEXT
        *failed, answered = attempts_of(response.execution)
        assert (set(failed), answered) == ({(upstream.name, "PROVIDER_PROTOCOL")}, (last.name, ""))


@scenario(20, 37)
def test_an_empty_answer_is_complete_if_nothing_was_counted_or_a_stop_sequence_was_set() -> None:
    plain = Upstream(sends_events(chat_event({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 0}), DONE))
    stopped = Upstream(sends_events(chat_event({}, "stop", usage=USAGE), DONE))

    with gateway(plain, stopped, retry=SINGLE_ATTEMPT) as server:
        empty = server.stream(plain.model)[-1].completed
        sampling = generation_pb2.SamplingOptions(stop_sequences=["END"])
        cut = server.stream(stopped.model, sampling=sampling)[-1].completed

    assert (len(empty.message.parts), len(cut.message.parts)) == (0, 0)


def message_events(*blocks: dict[str, Any], **message: Any) -> tuple[bytes, ...]:
    return (
        sse_event({"type": "message_start", "message": message}),
        *(sse_event({"type": "content_block_start", "index": 0, "content_block": block}) for block in blocks),
        sse_event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": MESSAGE["usage"]}),
        sse_event({"type": "message_stop"}),
    )


@scenario(20, 37)
def test_an_empty_turn_of_claude_is_complete_but_content_of_an_unknown_form_is_lost() -> None:
    text = {"type": "text", "text": ""}
    empty = [
        Upstream(sends(http_response(json.dumps({**MESSAGE, "content": []}).encode())), wire="anthropic"),
        *(
            Upstream(sends_events(*message_events(*blocks, content=[])), wire="anthropic")
            for blocks in ((), (text,))
        ),
    ]  # fmt: skip
    unknown = {"type": "content_block_delta", "index": 0, "delta": {"type": "word_delta", "words": "Hi"}}
    start, block, *end = message_events(text, content=[])
    lost = [
        Upstream(sends_events(*events), wire="anthropic")
        for events in (
            message_events({"type": "words"}, content=[]), message_events(), (start, block, sse_event(unknown), *end)
        )
    ]  # fmt: skip

    with gateway(*empty, *lost, retry=SINGLE_ATTEMPT) as server:
        unary = server.generate(empty[0].model)
        streamed = [server.stream(upstream.model)[-1].completed for upstream in empty]
        failures = [server.stream_failure(upstream.model).reason for upstream in lost]

    for response in (unary, *streamed):
        assert (len(response.message.parts), response.usage.output_tokens) == (0, 5)
        assert response.finish_reason == generation_pb2.FINISH_REASON_STOP
    assert failures == ["PROVIDER_PROTOCOL"] * 3


@scenario(19, 37)
def test_a_tool_call_without_a_name_falls_back() -> None:
    call = chat_event({"tool_calls": [{"index": 0, "id": "x", "function": {"arguments": "{}"}}]}, "tool_calls")
    first, second = Upstream(sends_events(call, DONE)), Upstream(responds())

    with gateway(first, second) as server:
        response = server.generate(tools=[TOOL], fallback_models=FALLBACK)
        failure = server.stream_failure(tools=[TOOL])

    assert attempts_of(response.execution)[-1] == ("second", "")
    assert failure.reason in ("PROVIDER_PROTOCOL", "STREAM_INTERRUPTED")
    assert "without a name" in failure.rpc_failure.message


@scenario(19, 37)
def test_a_function_call_of_the_older_form_is_a_tool_call() -> None:
    fragments = ({"name": "look", "arguments": ""}, {"arguments": '{"at"'}, {"arguments": ":1}"})
    first = Upstream(
        sends_events(*(chat_event({"function_call": each}) for each in fragments), chat_event({}, "function_call"))
    )

    with gateway(first) as server:
        (part,) = server.stream(tools=[TOOL])[-1].completed.message.parts

    assert (part.tool_call.name, part.tool_call.arguments_json) == ("look", '{"at":1}')


@scenario(11, 13)
def test_empty_reasoning_for_ever_is_silence() -> None:
    empty = (chunk(chat_event({"reasoning_content": ""})), Delay(0.05)) * 400
    silent = Upstream(sends(stream_headers(), *empty))
    second = Upstream(responds())
    stalled = Upstream(sends(stream_headers(), chunk(chat_event({"content": "Hi"})), *empty))

    with gateway(silent, second, stalled, stream_timeouts=SHORT_TIMEOUTS) as server:
        response = server.stream(fallback_models=FALLBACK)[-1].completed
        failure = server.stream_failure(stalled.model)

    assert attempts_of(response.execution) == [("first", "FIRST_TOKEN_TIMEOUT"), ("second", "")]
    assert failure.reason == "STREAM_INTERRUPTED"
