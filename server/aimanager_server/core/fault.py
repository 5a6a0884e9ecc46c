"""What every failure carries: its row in the table, and what is known of this one case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from .response import Attempt
    from .usage import Cost, Usage

Code = Literal[
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "ABORTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
]
Fallback = Literal["next", "larger", "never"]
Breaker = Literal["ignore", "count", "open"]


@dataclass(frozen=True, slots=True)
class Row:
    """What follows from a fault.

    `retry`: the same target may be asked again before the first content. `fallback`: which other target may be asked.
    `breaker`: whether the fault speaks against the provider. `resend`: a client may send the call again by itself.
    `solution`: what the reader can do next, for the case in general.
    """

    code: Code
    reason: str
    solution: str
    retry: bool = False
    fallback: Fallback = "never"
    breaker: Breaker = "ignore"
    resend: bool = False


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of the request that cannot be used: its path as in the proto, and what is wrong with it."""

    field: str
    description: str


class Fault(Exception):
    """A call failed. The message names the offending value and what would be accepted; it never holds a secret.

    `retry_after` is in seconds, None where nobody knows. `metadata` goes to the caller as it is.
    """

    row: ClassVar[Row]

    def __init__(
        self,
        message: str,
        *,
        solution: str = "",
        provider: str = "",
        model: str = "",
        retry_after: float | None = None,
        fields: tuple[FieldViolation, ...] = (),
        metadata: Mapping[str, str] = MappingProxyType({}),
        upstream_status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.solution = solution or self.row.solution
        self.provider = provider
        self.model = model
        self.retry_after = retry_after
        self.fields = fields
        self.metadata = metadata
        self.upstream_status = upstream_status
        self.attempts: tuple[Attempt, ...] = ()
        self.usage: Usage | None = None
        self.cost: Cost | None = None

    @property
    def reason(self) -> str:
        """Stable name of the cause: ErrorInfo.reason, and the metric label."""
        return self.row.reason


def every(root: type[Fault] = Fault) -> Iterator[type[Fault]]:
    """Every fault that can reach a caller, in the order of the table."""
    for child in root.__subclasses__():
        yield child
        yield from every(child)
