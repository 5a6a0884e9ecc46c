"""Channels, requests and outcomes, as the attacker and the victim use them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2

from aimanager.v1 import content_pb2, generation_pb2
from tests.support.rpc_errors import RpcFailure
from tests.support.tokens import bearer

ATTACKER, ACCOMPLICE, VICTIM = bearer("attacker"), bearer("accomplice"), bearer("victim")
"""The metadata of callers of the server under attack."""

MODEL, SLOW_MODEL = "up/small", "up/slow"
"""Models of the provider: the first answers at once, the second after SLOW_SECONDS."""

ANSWER = '{"value": 1}'
SCHEMA = '{"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}'

CALL_SECONDS = 5.0
"""How long the attacker waits for the end of a call."""

GENERATE = "/aimanager.v1.GenerationService/Generate"

CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)


def open_channel(port: int) -> grpc.aio.Channel:
    """Return a channel with a connection of its own that retries nothing."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", CHANNEL_OPTIONS)


def generate_request(text: str = "Hello", model: str = MODEL, **fields: Any) -> generation_pb2.GenerateRequest:
    """Return a request with one message."""
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
    return generation_pb2.GenerateRequest(model=model, messages=[message], **fields)


def schema_request(schema: str = SCHEMA) -> generation_pb2.GenerateRequest:
    """Return a request for an answer that matches a JSON Schema."""
    json_schema = generation_pb2.JsonSchema(schema_json=schema)
    return generate_request(output_format=generation_pb2.OutputFormat(json_schema=json_schema))


async def outcome_of(call: Any) -> str:
    """Wait for the end of a call, unary or streaming, and return its outcome."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error_outcome(error)
    except asyncio.CancelledError:
        return "no answer"
    return "OK"


async def outcomes_of(calls: Iterable[Any]) -> Counter[str]:
    """Wait for the end of concurrent calls and count their outcomes."""
    return Counter(await asyncio.gather(*map(outcome_of, calls)))


async def one_by_one(calls: Iterable[Awaitable[str]]) -> Counter[str]:
    """Wait for each of the outcomes in turn and count them."""
    return Counter([await call for call in calls])


def error_outcome(error: grpc.aio.AioRpcError) -> str:
    """Return the reason of an error, with a note if it lacks what its reason requires."""
    failure = RpcFailure(error)
    if "grpc-status-details-bin" not in failure.trailers:
        return "no answer" if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED else f"bare {failure.code.name}"
    reason = failure.reason
    if reason == "OVERLOADED" and failure.detail(error_details_pb2.RetryInfo) is None:
        return "OVERLOADED without RetryInfo"
    return reason
