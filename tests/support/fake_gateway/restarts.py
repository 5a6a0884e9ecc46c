"""Streams that are interrupted and restart."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from aimanager.v1 import generation_pb2, usage_pb2
from tests.support.fake_gateway.messages import make_response, stream_events
from tests.support.fake_gateway.server import ScriptedResponse

Event = generation_pb2.StreamGenerateResponse

INTERRUPTED_ATTEMPT = generation_pb2.Attempt(
    provider="mock",
    model="mock-small",
    error_reason="PROVIDER_TIMEOUT",
    usage=usage_pb2.Usage(input_tokens=3, output_tokens=9, source=usage_pb2.USAGE_SOURCE_ESTIMATED),
    cost=usage_pb2.Cost(currency_code="USD", total_nanos=1_000_000, estimated=True),
)
EXECUTION = generation_pb2.Execution(
    requested_model="mock/latest", provider="mock", model="mock-large", attempts=[INTERRUPTED_ATTEMPT]
)
RESTARTED = Event(restarted=generation_pb2.StreamRestarted(execution=EXECUTION))


def interrupted(*deltas: str) -> list[Message]:
    """Return the start of a response, then the restart event."""
    return [*stream_events(make_response(), *deltas)[: len(deltas) + 1], RESTARTED]


def restarted(response: generation_pb2.GenerateResponse, *deltas: str) -> list[Message]:
    """Return the events after a restart: deltas, the completed part, completed."""
    return stream_events(response, *deltas)[1:]


def one_stream(*parts: Sequence[ScriptedResponse]) -> list[ScriptedResponse]:
    """Join events to one stream with consecutive sequence numbers."""
    events = [event for part in parts for event in part]
    return [_with_sequence(event, number) for number, event in enumerate(events)]


def _with_sequence(response: ScriptedResponse, number: int) -> ScriptedResponse:
    if not isinstance(response, Event):
        return response
    event = Event()
    event.CopyFrom(response)
    event.sequence = number
    return event
