"""Client settings that apply to every call unless its options override them."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import check_timeout
from ..errors import ConfigurationError, InvalidRequestError
from ..v1.generation_pb2 import CachePolicy
from .checks import require_utf8


@dataclass(frozen=True, slots=True)
class CallDefaults:
    """Defaults of every call. With an empty `provider` or `model` the server's own default applies."""

    provider: str = ""
    model: str = ""
    timeout: float | None = None
    streaming: bool = True
    vision: bool = True
    reasoning: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    optimize: tuple[str, ...] = ()
    cache: CachePolicy | None = None

    def qualified_model(self, model: str | None) -> str:
        """Return the model to request, prefixed with the provider unless the name contains a slash.

        Raises InvalidRequestError for a model that is not a str.

        >>> CallDefaults("claude", "claude/latest").qualified_model("fast")
        'claude/fast'
        """
        if not model:
            return self.model
        require_utf8("model", model)
        return f"{self.provider}/{model}" if self.provider and "/" not in model else model

    def timeout_for(self, requested: float | None, fallback: float) -> float:
        """Return the timeout of a call in seconds: as requested, else the client's, else `fallback`.

        Raises InvalidRequestError unless the requested timeout is positive.
        """
        if requested is None:
            return self.timeout or fallback
        try:
            return check_timeout(requested)
        except ConfigurationError as error:
            raise InvalidRequestError(str(error), error.solution) from None

    def require_streaming(self) -> None:
        """Raise ConfigurationError if streaming is disabled."""
        if not self.streaming:
            raise ConfigurationError(
                "Streaming is disabled: AIConfig.enable_streaming is False.",
                solution="Use request(), or set enable_streaming=True.",
            )
