"""A stream whose answer is cut off and begins again, for a fake gateway to play."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from aimanager.v1 import generation_pb2, usage_pb2
from tests.support.fake_gateway.server import Answer, answer, events

Event = generation_pb2.StreamGenerateResponse

CUT_OFF = generation_pb2.Attempt(
    provider="mock",
    model="mock-small",
    error_reason="PROVIDER_TIMEOUT",
    usage=usage_pb2.Usage(input_tokens=3, output_tokens=9, source=usage_pb2.USAGE_SOURCE_ESTIMATED),
    cost=usage_pb2.Cost(currency_code="USD", total_nanos=1_000_000, estimated=True),
)
ROUTE = generation_pb2.Route(requested_model="mock/latest", provider="mock", model="mock-large", attempts=[CUT_OFF])
RESTARTED = Event(restarted=generation_pb2.StreamRestarted(route=ROUTE))


def cut(*deltas: str) -> list[Message]:
    """The beginning of an answer, and the news that all of it is void."""
    return [*events(answer(), *deltas)[: len(deltas) + 1], RESTARTED]


def begun_again(whole: generation_pb2.GenerateResponse, *deltas: str) -> list[Message]:
    """The answer after the restart: deltas, the part, completed."""
    return events(whole, *deltas)[1:]


def numbered(*said: Sequence[Answer]) -> list[Answer]:
    """Them all as one stream, whose numbers go on over a restart."""
    stream = [answer for part in said for answer in part]
    return [_number(answer, number) for number, answer in enumerate(stream)]


def _number(said: Answer, number: int) -> Answer:
    if not isinstance(said, Event):
        return said
    event = Event()
    event.CopyFrom(said)
    event.sequence = number
    return event
