"""Reads a failed call as a client does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass
class Refusal:
    """A failed call as a client sees it."""

    error: grpc.aio.AioRpcError

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC code."""
        return self.error.code()

    @property
    def trailers(self) -> dict[str, Any]:
        """Trailing metadata."""
        return dict(self.error.trailing_metadata())

    def detail(self, kind: Any) -> Any:
        """The detail of that type, None where there is none."""
        status = rpc_status.from_call(_Call(self.error))
        for packed in status.details:
            if packed.Is(kind.DESCRIPTOR):
                found = kind()
                packed.Unpack(found)
                return found
        return None

    @property
    def reason(self) -> str:
        """ErrorInfo.reason."""
        return str(self.detail(error_details_pb2.ErrorInfo).reason)

    @property
    def metadata(self) -> dict[str, str]:
        """ErrorInfo.metadata."""
        return dict(self.detail(error_details_pb2.ErrorInfo).metadata)

    @property
    def fields(self) -> dict[str, str]:
        """BadRequest, by path."""
        found = self.detail(error_details_pb2.BadRequest)
        return {one.field: one.description for one in found.field_violations} if found else {}


class _Call:
    """What grpc_status reads, of an asyncio error."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code
        self.details = error.details
        self.trailing_metadata = error.trailing_metadata


async def refusal(call: Any) -> Refusal:
    """The failure of a call, unary or streaming."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return Refusal(error)
    raise AssertionError("the call succeeded")
