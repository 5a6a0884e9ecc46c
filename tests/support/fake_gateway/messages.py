"""Responses, stream events and error statuses as the gateway sends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from aimanager import assistant
from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from tests.support.fake_gateway.server import ErrorStatus

DETAILS_KEY = "grpc-status-details-bin"
NO_RETRY = ("grpc-retry-pushback-ms", "-1")


def error_status(
    code: grpc.StatusCode,
    reason: str,
    message: str = "The call failed.",
    *,
    retry_after: float | None = None,
    details: Sequence[Message] = (),
    metadata: Mapping[str, str] | None = None,
    solution: str = "Try another way.",
    retryable: bool = False,
) -> ErrorStatus:
    """Return an error with details. `retryable` lets gRPC's own retry policy send the call again."""
    messages: list[Message] = [
        error_details_pb2.ErrorInfo(reason=reason, domain="aimanager.dev", metadata=metadata or {}),
        error_details_pb2.LocalizedMessage(locale="en", message=solution),
        *details,
    ]
    if retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after * 1000))
        messages.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=message, details=[_packed(each) for each in messages])
    trailers = ((DETAILS_KEY, status.SerializeToString()), *(() if retryable else (NO_RETRY,)))
    return ErrorStatus(code, message, trailers)


def _packed(detail: Message) -> Packed:
    packed = Packed()
    packed.Pack(detail)
    return packed


def make_response(text: str = "Hello.", **fields: Any) -> generation_pb2.GenerateResponse:
    """Return a whole response of mock/mock-large."""
    message = assistant(text)
    message.provider, message.model = "mock", "mock-large"
    defaults: dict[str, Any] = {
        "id": "req-1",
        "message": message,
        "finish_reason": generation_pb2.FINISH_REASON_STOP,
        "provider_finish_reason": "stop",
        "usage": usage_pb2.Usage(input_tokens=3, output_tokens=2, source=usage_pb2.USAGE_SOURCE_REPORTED),
        "cost": usage_pb2.Cost(currency_code="USD", total_nanos=2_500_000, estimated=True),
        "execution": make_execution(),
        "cache_status": usage_pb2.CACHE_STATUS_MISS,
    }
    return generation_pb2.GenerateResponse(**(defaults | fields))


def make_execution() -> generation_pb2.Execution:
    """Return the execution of `make_response`: one failed attempt, then a successful one, 1.5 s in total."""
    return generation_pb2.Execution(
        requested_model="mock/latest",
        provider="mock",
        model="mock-large",
        attempts=[
            generation_pb2.Attempt(provider="mock", model="mock-small", error_reason="PROVIDER_OVERLOADED"),
            generation_pb2.Attempt(provider="mock", model="mock-large", duration=Duration(seconds=1)),
        ],
        latency=Duration(seconds=1, nanos=500_000_000),
    )


def stream_events(response: generation_pb2.GenerateResponse, *deltas: str) -> list[Message]:
    """Return the events of a stream: started, one delta per text, the completed part, completed."""
    Event = generation_pb2.StreamGenerateResponse  # noqa: N806  # it is a class
    part = generation_pb2.PartCompleted(index=0, part=content_pb2.Part(text="".join(deltas)))
    messages: list[Message] = [
        Event(started=generation_pb2.StreamStarted(id=response.id, execution=response.execution)),
        *(Event(delta=generation_pb2.PartDelta(index=0, text=delta)) for delta in deltas),
        Event(part_completed=part),
        Event(completed=response),
    ]
    for number, event in enumerate(messages):
        assert isinstance(event, Event)
        event.sequence = number
    return messages
