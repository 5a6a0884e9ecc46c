"""What a client can be set up with once and share: AIConfig and its builder."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .errors import ConfigurationError

MOST_RETRIES = 3  # the service config sends a call at most four times


@dataclass(frozen=True, slots=True, kw_only=True)
class AIConfig:
    """Settings of a client, without any key. A keyword to AIManager wins over them; they win over the server's.

    `timeout` is in seconds and holds for requests and streams; `retries`, 0 to 3, are sendings after the first.
    `enable_streaming=False`: stream() raises. `enable_vision=False`: images are refused before anything is sent.
    `enable_reasoning=True`: questions that say nothing about reasoning ask for medium effort.
    `enable_metrics`, `enable_health_checks`, `enable_rate_limiting` and `enable_logging` belong to the server: setting
    one of them at all raises ConfigurationError when a client is made.

    >>> AIConfig.builder().with_provider("openai").with_model("fast").with_timeout(60).build().model
    'fast'
    """

    provider: str | None = None
    model: str | None = None
    timeout: float | None = None
    retries: int | None = None
    enable_streaming: bool = True
    enable_vision: bool = True
    enable_reasoning: bool = False
    enable_metrics: bool | None = None
    enable_health_checks: bool | None = None
    enable_rate_limiting: bool | None = None
    enable_logging: bool | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None:
            check_timeout(self.timeout)
        if self.retries is not None:
            check_retries(self.retries)

    @classmethod
    def builder(cls) -> AIConfigBuilder:
        """Starts from the defaults."""
        return AIConfigBuilder(cls())

    def refuse_server_switches(self) -> None:
        """Raises ConfigurationError if a switch is set that only the server's operator has."""
        for name in ("enable_metrics", "enable_health_checks", "enable_rate_limiting", "enable_logging"):
            if getattr(self, name) is not None:
                raise ConfigurationError(
                    f"{name} cannot be set by a client: the server decides",
                    solution=f"Leave {name} out, and set it up in the server's configuration file.",
                )


@dataclass(frozen=True, slots=True)
class AIConfigBuilder:
    """Builds an AIConfig step by step. Each step returns a new builder, so a half-built one can be shared."""

    _config: AIConfig

    def with_provider(self, provider: str) -> AIConfigBuilder:
        """Whose models answer, such as `claude`."""
        return AIConfigBuilder(replace(self._config, provider=provider))

    def with_model(self, model: str) -> AIConfigBuilder:
        """[provider/]id or [provider/]alias."""
        return AIConfigBuilder(replace(self._config, model=model))

    def with_timeout(self, timeout: float) -> AIConfigBuilder:
        """Seconds. Raises ConfigurationError unless positive."""
        return AIConfigBuilder(replace(self._config, timeout=timeout))

    def with_retries(self, retries: int) -> AIConfigBuilder:
        """Sendings after the first. Raises ConfigurationError unless 0 to 3."""
        return AIConfigBuilder(replace(self._config, retries=retries))

    def build(self) -> AIConfig:
        """The settings as they are now."""
        return self._config


def check_timeout(timeout: float) -> float:
    """The timeout, if it is a positive number of seconds; else raises ConfigurationError."""
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if number and math.isfinite(timeout) and timeout > 0:
        return float(timeout)
    raise ConfigurationError(
        f"timeout must be a positive number of seconds, got {timeout!r}", solution="Leave it out for the default."
    )


def check_retries(retries: int) -> int:
    """The retries, if 0 to 3; else raises ConfigurationError."""
    if isinstance(retries, int) and not isinstance(retries, bool) and 0 <= retries <= MOST_RETRIES:
        return retries
    raise ConfigurationError(
        f"retries must be a whole number from 0 to {MOST_RETRIES}, got {retries!r}",
        solution="More would only delay the error: the gateway retries providers by itself.",
    )
