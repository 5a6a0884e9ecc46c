"""Shareable client settings: AIConfig and its builder."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .errors import ConfigurationError

MIB = 1024 * 1024
MAX_MESSAGE_BYTES = 36 * MIB  # the providers' 32 MB plus framing
MAX_RETRIES = 3  # the service config sends a call at most four times
DEFAULT_MAX_WAIT = 10.0  # seconds
MAX_TEMPERATURE = 2.0
BASE_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AIConfig:
    """Settings of a client, without keys. They override the server's; keyword arguments of AIManager override them.

    `timeout` is in seconds and applies to requests and streams. `retries` is the number of attempts after the first, 0
    to 3. `max_wait` is in seconds, how long a call may wait for the gateway's rate limit. `temperature` (0 to 2) and
    `max_tokens` are those of requests that set none. `enable_streaming=False` makes stream() raise.
    `enable_vision=False` rejects images before they are sent. `enable_reasoning=True` requests medium effort unless a
    request sets `reasoning`. `base_url` replaces the address of the provider, and `enable_metrics`,
    `enable_health_checks`, `enable_rate_limiting` and `enable_logging` switch parts of the server, all of them only in
    process: with a gateway, which decides for itself, a `base_url` or a True raises ConfigurationError. Raises
    ConfigurationError for invalid values.

    >>> AIConfig(provider="openai", timeout=60, temperature=0.5).temperature
    0.5
    """

    provider: str | None = None
    model: str | None = None
    base_url: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    timeout: float | None = None
    retries: int | None = None
    max_wait: float | None = None
    enable_streaming: bool = True
    enable_vision: bool = True
    enable_reasoning: bool = False
    enable_metrics: bool | None = None
    enable_health_checks: bool | None = None
    enable_rate_limiting: bool | None = None
    enable_logging: bool | None = None

    def __post_init__(self) -> None:
        checks: dict[str, Callable[[Any], object]] = {
            "timeout": check_timeout,
            "retries": check_retries,
            "max_wait": check_max_wait,
            "temperature": check_temperature,
            "max_tokens": check_max_tokens,
            "base_url": check_base_url,
        }
        for name, check in checks.items():
            if (value := getattr(self, name)) is not None:
                check(value)

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

    def with_temperature(self, temperature: float) -> AIConfigBuilder:
        """Set the temperature of requests that set none. Raises ConfigurationError unless it is 0 to 2."""
        return AIConfigBuilder(replace(self._config, temperature=temperature))

    def with_max_tokens(self, max_tokens: int) -> AIConfigBuilder:
        """Set the output limit of requests that set none. Raises ConfigurationError unless it is positive."""
        return AIConfigBuilder(replace(self._config, max_tokens=max_tokens))

    def build(self) -> AIConfig:
        """Return the settings."""
        return self._config


def check_timeout(timeout: float) -> float:
    """Return a timeout in seconds. Raises ConfigurationError unless it is a positive, finite number."""
    if _is_number(timeout) and timeout > 0:
        return float(timeout)
    raise ConfigurationError(
        f"timeout must be a positive number of seconds, got {timeout!r}", "Omit it to use the default."
    )


def check_max_wait(max_wait: float) -> float:
    """Return the longest wait in seconds. Raises ConfigurationError unless it is a finite number of at least 0."""
    if _is_number(max_wait) and max_wait >= 0:
        return float(max_wait)
    raise ConfigurationError(f"max_wait must be at least 0 seconds, got {max_wait!r}", "Use 0 to never wait.")


def check_retries(retries: int) -> int:
    """Return the number of retries. Raises ConfigurationError unless it is an integer between 0 and 3."""
    if _is_integer(retries) and 0 <= retries <= MAX_RETRIES:
        return retries
    raise ConfigurationError(
        f"retries must be an integer between 0 and {MAX_RETRIES}, got {retries!r}",
        f"Use 0 to {MAX_RETRIES}: the gateway also retries providers.",
    )


def check_temperature(temperature: float) -> float:
    """Return the temperature. Raises ConfigurationError unless it is a number from 0 to 2."""
    if _is_number(temperature) and 0.0 <= temperature <= MAX_TEMPERATURE:
        return temperature
    raise ConfigurationError(
        f"temperature must be between 0.0 and {MAX_TEMPERATURE}, got {temperature!r}",
        f"Use a value from 0.0 to {MAX_TEMPERATURE}.",
    )


def check_max_tokens(max_tokens: int) -> int:
    """Return the output limit. Raises ConfigurationError unless it is a positive integer."""
    if _is_integer(max_tokens) and max_tokens > 0:
        return max_tokens
    raise ConfigurationError(f"max_tokens must be positive, got {max_tokens!r}", "Use an integer of at least 1.")


def check_base_url(base_url: str) -> str:
    """Return the URL. Raises ConfigurationError unless it is an http or https URL."""
    if isinstance(base_url, str) and BASE_URL.fullmatch(base_url):
        return base_url
    raise ConfigurationError(
        # The error omits the value, which may contain a password.
        "base_url must be an http or https URL",
        "Pass the address that the provider's SDK would use, such as 'https://api.openai.com/v1'.",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
