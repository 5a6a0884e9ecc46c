"""The base class of every error of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

from .attempts import AttemptLog, AttemptRecord
from .error_spec import ErrorSpec
from .usage import Cost, Usage


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """An invalid field of a request. `field` is its path in the API; `description` completes "<field> …"."""

    field: str
    description: str


class GatewayError(Exception):
    """A call failed. The message states the fact, the value and the limit, and never contains a secret.

    `retry_after` is in seconds, None if unknown. `metadata` is sent to the caller unchanged. `attempts` are those of
    the whole call; `usage` and `cost` are theirs, once known. Immutable: a layer that knows more raises a copy.
    """

    spec: ClassVar[ErrorSpec]

    def __init__(
        self,
        message: str,
        *,
        solution: str = "",
        provider: str = "",
        model: str = "",
        retry_after: float | None = None,
        violations: tuple[FieldViolation, ...] = (),
        metadata: Mapping[str, str] = MappingProxyType({}),
        upstream_status: int | None = None,
        attempts: tuple[AttemptRecord, ...] = (),
        usage: Usage | None = None,
        cost: Cost | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.solution = solution or self.spec.solution
        self.provider = provider
        self.model = model
        self.retry_after = retry_after
        self.violations = violations
        self.metadata = metadata
        self.upstream_status = upstream_status
        self.attempts = attempts
        self.usage = usage
        self.cost = cost

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__ and not name.startswith("__"):
            raise AttributeError(f"{type(self).__name__}.{name} is immutable; raise a copy made with replace()")
        super().__setattr__(name, value)

    @property
    def reason(self) -> str:
        """Return the stable identifier of the cause: `ErrorInfo.reason` and the metric label."""
        return self.spec.reason

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other attributes, the same cause and the same traceback.

        >>> from aimanager_server.core.errors import InvalidRequest
        >>> InvalidRequest("no").replace(message="still no", model="m").model
        'm'
        """
        attributes = {name: value for name, value in self.__dict__.items() if not name.startswith("__")} | changes
        copy = type(self)(attributes.pop("message"), **attributes)
        copy.__cause__ = self.__cause__
        return copy.with_traceback(self.__traceback__)

    def with_attempts(self, log: AttemptLog) -> Self:
        """Return a copy with all attempts of the call and their total usage and cost."""
        usage = log.usage()
        if usage is None:
            return self.replace(attempts=tuple(log.records))
        return self.replace(attempts=tuple(log.records), usage=usage, cost=log.cost())
