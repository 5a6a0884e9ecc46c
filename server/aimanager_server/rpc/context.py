"""State of one RPC, shared by the interceptors and the service methods."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ..core.attempts import AttemptLog
from ..core.request import Caller
from .grpc_batches import complete
from .policies import READING, RpcPolicy

REQUEST_ID_KEY = "x-request-id"
UNKNOWN_CALLER = Caller()
"""The caller of an RPC until it is authenticated."""


class Rpc:
    """One call of one method. Interceptors fill it in, outermost first; service methods read it.

    `method` is the full name without the leading slash, `policy` its limits. `secrets` are credentials from the
    caller's metadata and must never be logged or returned. `attempts` is the log of the call's attempts, once it is
    resolved.
    `hops` lists the gateways that the call has passed, including this one. `ended_by_server` is set before the server
    cancels the call. `field_prefix` is the path of the message that is being handled, within the request, such as
    `request.`; error details add it to the paths of invalid fields.
    """

    __slots__ = (
        "_headers_sent",
        "attempts",
        "caller",
        "context",
        "ended_by_server",
        "field_prefix",
        "hops",
        "id",
        "metadata",
        "method",
        "policy",
        "secrets",
        "traceparent",
    )

    def __init__(self, method: str, context: Any, policy: RpcPolicy = READING) -> None:
        self.method = method
        self.policy = policy
        self.context = context
        self.metadata: tuple[tuple[str, str | bytes], ...] = context.invocation_metadata()
        self.id = ""
        self.traceparent = ""
        self.hops = ""
        self.caller = UNKNOWN_CALLER
        self.secrets: tuple[str, ...] = ()
        self.attempts: AttemptLog | None = None
        self.ended_by_server = False
        self.field_prefix = ""
        self._headers_sent = False

    @property
    def headers_sent(self) -> bool:
        """Whether the response headers were sent to the caller."""
        return self._headers_sent

    def metadata_values(self, key: str) -> list[str]:
        """Return every text value of a metadata key, in order."""
        return [value for name, value in self.metadata if name == key and isinstance(value, str)]

    async def send_headers(self) -> None:
        """Send the response headers, once.

        Call it only right before a message: a gRPC client retries transparently until it receives headers. Small unary
        responses skip it, which saves 70 µs; their request id is in the trailers.
        """
        if not self._headers_sent:
            self._headers_sent = True
            await complete(self.context.send_initial_metadata(((REQUEST_ID_KEY, self.id),)))

    async def write(self, message: Any) -> None:
        """Write one message of a stream and wait until the transport accepted it. Not safe to call concurrently.

        It is not compressed: most messages are small, and flow control would bound only what compression leaves.
        """
        if not self._headers_sent:
            await self.send_headers()
        self.context.disable_next_message_compression()
        await complete(self.context.write(message))


current_rpc: ContextVar[Rpc] = ContextVar("current_rpc")
"""The RPC that the current task serves."""
