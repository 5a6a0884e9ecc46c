"""Failed RPCs as a client sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass
class RpcFailure:
    """A failed call, with access to its google.rpc error details."""

    error: grpc.aio.AioRpcError

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status code."""
        return self.error.code()

    @property
    def message(self) -> str:
        """The status message."""
        return str(self.error.details())

    @property
    def trailers(self) -> dict[str, Any]:
        """The trailing metadata."""
        return dict(self.error.trailing_metadata())

    def detail(self, kind: Any) -> Any:
        """Return the error detail of a message type, None if absent."""
        status = rpc_status.from_call(_StatusCall(self.error))
        for packed in status.details:
            if packed.Is(kind.DESCRIPTOR):
                detail = kind()
                packed.Unpack(detail)
                return detail
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
        """Descriptions of the field violations, by path."""
        detail = self.detail(error_details_pb2.BadRequest)
        return {violation.field: violation.description for violation in detail.field_violations} if detail else {}


class _StatusCall:
    """Adapts an asyncio error to the synchronous call that grpc_status expects."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code
        self.details = error.details
        self.trailing_metadata = error.trailing_metadata


async def failure_of(call: Any) -> RpcFailure:
    """Await a call that must fail, unary or streaming, and return its failure."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return RpcFailure(error)
    raise AssertionError("the call succeeded")
