"""Shareable client settings: AIConfig and its builder."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .errors import ConfigurationError

MAX_RETRIES = 3  # the service config sends a call at most four times


@dataclass(frozen=True, slots=True, kw_only=True)
class AIConfig:
    """Settings of a client, without keys. They override the server's; keyword arguments of AIManager override them.

    `timeout` is in seconds and applies to requests and streams. `retries` is the number of attempts after the first, 0
    to 3. `enable_streaming=False` makes stream() raise. `enable_vision=False` rejects images before they are sent.
    `enable_reasoning=True` requests medium effort unless a request sets `reasoning`. `base_url` replaces the address of
    the provider, and `enable_metrics`, `enable_health_checks`, `enable_rate_limiting` and `enable_logging` switch parts
    of the server, all of them only in process: with a gateway, which decides for itself, a `base_url` or a True raises
    ConfigurationError.

    >>> AIConfig(provider="openai", timeout=60).retries is None
    True
    """

    provider: str | None = None
    model: str | None = None
    timeout: float | None = None
    retries: int | None = None
    enable_streaming: bool = True
    enable_vision: bool = True
    enable_reasoning: bool = False
    base_url: str | None = None
    enable_metrics: bool | None = None
    enable_health_checks: bool | None = None
    enable_rate_limiting: bool | None = None
    enable_logging: bool | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None:
            check_timeout(self.timeout)
        if self.retries is not None:
            check_retries(self.retries)
        if self.base_url is not None:
            check_base_url(self.base_url)

    @classmethod
    def builder(cls) -> AIConfigBuilder:
        """Return a builder with the default settings.

        >>> AIConfig.builder().with_provider("openai").with_model("fast").with_timeout(60).build().model
        'fast'
        """
        return AIConfigBuilder(cls())


@dataclass(frozen=True, slots=True)
class AIConfigBuilder:
    """Builds an AIConfig. Each step returns a new builder, so that builders can be shared.

    >>> AIConfigBuilder(AIConfig()).with_retries(1).build().retries
    1
    """

    _config: AIConfig

    def with_provider(self, provider: str) -> AIConfigBuilder:
        """Set the provider, such as `claude`."""
        return AIConfigBuilder(replace(self._config, provider=provider))

    def with_model(self, model: str) -> AIConfigBuilder:
        """Set the model: [provider/]id or [provider/]alias."""
        return AIConfigBuilder(replace(self._config, model=model))

    def with_timeout(self, timeout: float) -> AIConfigBuilder:
        """Set the timeout in seconds. Raises ConfigurationError unless it is positive."""
        return AIConfigBuilder(replace(self._config, timeout=timeout))

    def with_retries(self, retries: int) -> AIConfigBuilder:
        """Set the number of retries, 0 to 3. Raises ConfigurationError for another value."""
        return AIConfigBuilder(replace(self._config, retries=retries))

    def build(self) -> AIConfig:
        """Return the settings."""
        return self._config


def check_timeout(timeout: float) -> float:
    """Return a timeout in seconds. Raises ConfigurationError unless it is a positive, finite number."""
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if is_number and math.isfinite(timeout) and timeout > 0:
        return float(timeout)
    raise ConfigurationError(
        f"timeout must be a positive number of seconds, got {timeout!r}", solution="Omit it to use the default."
    )


def check_retries(retries: int) -> int:
    """Return the number of retries. Raises ConfigurationError unless it is an integer between 0 and 3."""
    if isinstance(retries, int) and not isinstance(retries, bool) and 0 <= retries <= MAX_RETRIES:
        return retries
    raise ConfigurationError(
        f"retries must be an integer between 0 and {MAX_RETRIES}, got {retries!r}",
        solution="Use fewer: the gateway also retries providers.",
    )


def check_base_url(base_url: str) -> str:
    """Return the address of a provider. Raises ConfigurationError unless it is an http or https URL."""
    if isinstance(base_url, str) and base_url.startswith(("https://", "http://")):
        return base_url
    raise ConfigurationError(
        # The error omits the value, which may contain a password.
        "base_url must be an http or https URL",
        solution="Pass the address that the provider's SDK would use, such as 'https://api.openai.com/v1'.",
    )
