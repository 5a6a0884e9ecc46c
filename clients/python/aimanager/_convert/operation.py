"""Describe one RPC without running it, so that the sync and the async client share the description."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .field_names import parameter_name

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")

REQUEST_TIMEOUT = 600.0  # seconds; reasoning takes minutes
STREAM_TIMEOUT = 1200.0
READ_TIMEOUT = 10.0
TRANSFER_TIMEOUT = 60.0  # messages of conversations can have many MiB
PROBE_TIMEOUT = 30.0  # the gateway queries every provider before it responds


@dataclass(frozen=True, slots=True)
class Operation(Generic[Request, Response, Result]):
    """One RPC: its method, request and deadline, and a function that reads its response.

    `method` is the attribute path in the stubs, such as `models.GetModel`. `timeout` is in seconds; None means no
    deadline. `field_name` translates a field path of the API into the caller's parameter name.

    `sends_provider_key` adds the caller's own provider key to the metadata. `retries_rate_limit` waits for the
    gateway's own rate limit and retries once. `retries_unavailable` retries a stream that was lost before its first
    message; the gRPC service config retries other calls.
    """

    method: str
    request: Request
    timeout: float | None
    read: Callable[[Response], Result]
    sends_provider_key: bool = False
    retries_rate_limit: bool = False
    retries_unavailable: bool = False
    field_name: Callable[[str], str] = parameter_name
