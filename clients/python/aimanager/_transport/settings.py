"""Combine keyword arguments, AIConfig and defaults, in this order of precedence, into the settings of a client."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from .._convert.defaults import CallDefaults
from ..config import MAX_RETRIES, AIConfig, check_retries, check_timeout
from ..errors import ConfigurationError
from ..options import ConnectionOptions, reject_unknown
from .endpoint import Endpoint, check_target, is_loopback

DEFAULT_TARGET = "127.0.0.1:50051"
TARGET_ENV = "AIMANAGER_TARGET"
TOKEN_ENV = "AIMANAGER_TOKEN"
KEY_REQUIRED = "API key is required and must be a non-empty string"
KEY_SOLUTION = (
    "Pass the provider's API key, use AIManager.gateway(…) if a gateway holds the keys, "
    "or AIManager.embedded(…) to run one in this process."
)
CONNECTION_OPTIONS = tuple(ConnectionOptions.__annotations__)
PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")  # part of a metadata key


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The endpoint of a client and the defaults of its calls."""

    endpoint: Endpoint
    defaults: CallDefaults


def settings_with_key(
    api_key: str,
    provider: str | None,
    model: str | None,
    config: AIConfig | None,
    target: str | None,
    options: ConnectionOptions,
) -> ClientSettings:
    """Return the settings of a client with the caller's own provider key. Raises ConfigurationError."""
    reject_unknown("AIManager", options, ("api_key", "provider", "model", "config", "target", *CONNECTION_OPTIONS))
    config = config or AIConfig()
    model = model or config.model or "latest"
    provider = provider or config.provider or (model.partition("/")[0] if "/" in model else "claude")
    if not isinstance(provider, str) or not PROVIDER_NAME.fullmatch(provider):
        raise ConfigurationError(
            # The error omits the value: it is the key if the first two arguments were swapped.
            "provider must be a provider name in lower case",
            solution="Pass a provider of the gateway, such as 'claude', 'openai', 'deepseek' or 'mock'.",
        )
    key = "" if provider == "mock" else _provider_key(api_key)  # the mock needs no key, so none is sent
    endpoint = _endpoint(target, config, options, provider=provider, provider_key=key)
    if key and not endpoint.tls and not is_loopback(endpoint.target):
        raise ConfigurationError(
            "target must use TLS beyond loopback, or the provider key would be sent in plaintext; "
            f"got {endpoint.target!r}",
            solution="Pass tls=True, or keep the key on the server and use AIManager.gateway(…).",
        )
    return ClientSettings(endpoint, _defaults(provider, model, config, options))


def settings_without_key(
    target: str | None, model: str | None, config: AIConfig | None, options: ConnectionOptions
) -> ClientSettings:
    """Return the settings of a client for a gateway that holds the provider keys. Raises ConfigurationError."""
    reject_unknown("gateway", options, ("target", "model", "config", *CONNECTION_OPTIONS))
    config = config or AIConfig()
    provider = config.provider or ""
    model = model or config.model or ("latest" if provider else "")
    return ClientSettings(_endpoint(target, config, options), _defaults(provider, model, config, options))


def _defaults(provider: str, model: str, config: AIConfig, options: ConnectionOptions) -> CallDefaults:
    config.reject_server_settings()
    timeout = options.get("timeout")
    return CallDefaults(
        provider,
        f"{provider}/{model}" if provider and not model.startswith(f"{provider}/") else model,
        config.timeout if timeout is None else check_timeout(timeout),
        streaming=config.enable_streaming,
        vision=config.enable_vision,
        reasoning=config.enable_reasoning,
    )


def _provider_key(api_key: str) -> str:
    return _credential(api_key, KEY_REQUIRED, KEY_SOLUTION)


def _token(token: str | None) -> str:
    if token is None:
        return ""
    return _credential(token, "token must be a non-empty string", "Omit it for a gateway without tokens.")


def _credential(value: str, required: str, solution: str) -> str:
    """Return the value if gRPC metadata can carry it. The error omits the value, which gRPC's own error would show."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(required, solution=solution)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(
            "The API key or token must consist of printable ASCII characters without spaces.",
            solution="Remove line breaks and spaces, which copying or reading a file may add.",
        )
    return value


def _endpoint(
    target: str | None, config: AIConfig, options: ConnectionOptions, *, provider: str = "", provider_key: str = ""
) -> Endpoint:
    token = options.get("token")
    if target is None:  # a token of the environment is not for a gateway that the program names
        target = os.environ.get(TARGET_ENV) or DEFAULT_TARGET
        token = (os.environ.get(TOKEN_ENV) or None) if token is None else token
    requested = options.get("retries")
    retries = check_retries(requested) if requested is not None else config.retries
    certificates = options.get("root_certificates"), options.get("private_key"), options.get("certificate_chain")
    return Endpoint(
        check_target(target),
        retries=MAX_RETRIES if retries is None else retries,
        tls=bool(options.get("tls")) or any(certificates),
        root_certificates=certificates[0],
        private_key=certificates[1],
        certificate_chain=certificates[2],
        token=_token(token),
        provider=provider,
        provider_key=provider_key,
    )
