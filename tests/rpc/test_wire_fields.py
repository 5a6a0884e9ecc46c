"""Counting the fields of encoded messages."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager.v1 import content_pb2, generation_pb2, model_pb2
from aimanager_server.rpc.wire_fields import MessageShape, has_more_fields

REQUEST = MessageShape(generation_pb2.GenerateRequest.DESCRIPTOR)


def count(data: bytes, shape: MessageShape = REQUEST) -> int:
    """Return the number of fields."""
    return next(limit for limit in range(100) if not has_more_fields(data, shape, limit))


def test_fields_count_at_every_depth() -> None:
    part = content_pb2.Part(text="Hi")
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[part, part])
    request = generation_pb2.GenerateRequest(
        messages=[message],
        labels={"team": "a"},
        sampling=generation_pb2.SamplingOptions(temperature=0.5, seed=-1, stop_sequences=["a", ""]),
    )

    # The message with its role and two parts of one field; the label with name and value; the sampling with its four.
    assert count(request.SerializeToString()) == (1 + 1 + 2 * 2) + (1 + 2) + (1 + 4)


def test_packed_numbers_count_one_by_one() -> None:
    request = model_pb2.ListModelsRequest(capabilities=[model_pb2.CAPABILITY_REASONING] * 20)

    assert count(request.SerializeToString(), MessageShape(model_pb2.ListModelsRequest.DESCRIPTOR)) == 21


def test_unknown_fields_of_every_wire_type_count() -> None:
    varint, fixed64, text, fixed32 = b"\xf8\x3f\x01", b"\xf9\x3f" + bytes(8), b"\xfa\x3f\x02ab", b"\xfd\x3f" + bytes(4)
    group = b"\xfb\x3f\xfc\x3f"

    assert count(varint + fixed64 + text + fixed32 + group) == 6


def test_counting_stops_at_the_limit() -> None:
    started = time.process_time()

    assert has_more_fields(b"\x12\x00" * 16_000_000, REQUEST, 20_000)
    assert time.process_time() - started < 0.5


@settings(derandomize=True, database=None, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 20))
def test_any_bytes_are_counted_without_an_error(data: bytes, limit: int) -> None:
    assert has_more_fields(data, REQUEST, limit) in (True, False)
