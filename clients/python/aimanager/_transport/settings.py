"""Combine keyword arguments, AIConfig and defaults, in this order of precedence, into the settings of a client."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import cast, get_args

from .._convert.checks import require_cache_policy, require_optimizations
from .._convert.defaults import CallDefaults
from ..config import DEFAULT_MAX_WAIT, MAX_RETRIES, AIConfig, check_max_wait, check_retries, check_timeout
from ..embedded import IN_PROCESS, ServerConfig, ServerInProcess, missing_package
from ..errors import ConfigurationError
from ..options import (
    ClientOptions,
    ConnectionOptions,
    EmbeddedOptions,
    LoadBalancing,
    ServerSwitches,
    reject_unknown,
)
from .endpoint import Endpoint, check_target, is_loopback

DEFAULT_TARGET = "127.0.0.1:50051"
TARGET_ENV = "AIMANAGER_TARGET"
TOKEN_ENV = "AIMANAGER_TOKEN"
KEY_REQUIRED = "API key is required and must be a non-empty string"
KEY_SOLUTION = (
    "Pass the provider's API key, use AIManager.gateway(…) if a gateway holds the keys, "
    "or AIManager.embedded(…), which uses the keys in the environment."
)
SWITCHES = tuple(ServerSwitches.__annotations__)
NETWORK_OPTIONS = ("token", "tls", "root_certificates", "private_key", "certificate_chain", "compression")
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
    options: ClientOptions,
) -> ClientSettings:
    """Return the settings of a client with the caller's own provider key. Raises ConfigurationError.

    Without a target, neither passed nor in the environment, the server runs in this process if it is installed.
    """
    reject_unknown(
        "AIManager", options, ("api_key", "provider", "model", "config", "target", *ClientOptions.__annotations__)
    )
    config = config or AIConfig()
    provider, model = _provider_and_model(provider, model, config)
    key = _provider_key(api_key, provider)
    defaults = _defaults(provider, model, config, options)
    if target is None and not os.environ.get(TARGET_ENV) and not missing_package():
        _require_no_network_options(options)
        return ClientSettings(_endpoint_in_process(None, config, options, provider, key), defaults)
    _reject_server_settings(config, options)
    endpoint = _endpoint(target, config, options, provider=provider, provider_key=key)
    if key and not endpoint.tls and not is_loopback(endpoint.target):
        raise ConfigurationError(
            "target must use TLS beyond loopback, or the provider key would be sent in plaintext; "
            f"got {endpoint.target!r}",
            solution="Pass tls=True, or keep the key on the server and use AIManager.gateway(…).",
        )
    return ClientSettings(endpoint, defaults)


def settings_without_key(
    target: str | None, model: str | None, config: AIConfig | None, options: ConnectionOptions
) -> ClientSettings:
    """Return the settings of a client for a gateway that holds the provider keys. Raises ConfigurationError."""
    reject_unknown("gateway", options, ("target", "model", "config", *ConnectionOptions.__annotations__))
    config = config or AIConfig()
    _reject_server_settings(config, {})
    provider = config.provider or ""
    model = model or config.model or ("latest" if provider else "")
    return ClientSettings(_endpoint(target, config, options), _defaults(provider, model, config, options))


def settings_in_process(
    api_key: str | None,
    provider: str | None,
    model: str | None,
    config: AIConfig | ServerConfig | None,
    options: EmbeddedOptions,
) -> ClientSettings:
    """Return the settings of a client whose server runs in this process. Raises ConfigurationError.

    Without a key, the server's own keys apply, and without a provider and a model its default model.
    """
    reject_unknown("embedded", options, ("api_key", "provider", "model", "config", *EmbeddedOptions.__annotations__))
    client_config, server_config = (config, None) if isinstance(config, AIConfig) else (AIConfig(), config)
    key = ""
    if api_key is not None:
        provider, model = _provider_and_model(provider, model, client_config)
        key = _provider_key(api_key, provider)
    provider = provider or client_config.provider or ""
    model = model or client_config.model or ("latest" if provider else "")
    endpoint = _endpoint_in_process(server_config, client_config, options, provider or model.partition("/")[0], key)
    return ClientSettings(endpoint, _defaults(provider, model, client_config, options))


def _provider_and_model(provider: str | None, model: str | None, config: AIConfig) -> tuple[str, str]:
    model = model or config.model or "latest"
    provider = provider or config.provider or (model.partition("/")[0] if "/" in model else "claude")
    if not isinstance(provider, str) or not PROVIDER_NAME.fullmatch(provider):
        raise ConfigurationError(
            # The error omits the value: it is the key if the first two arguments were swapped.
            "provider must be a provider name in lower case",
            solution="Pass a provider of the gateway, such as 'claude', 'openai', 'deepseek' or 'mock'.",
        )
    return provider, model


def _defaults(
    provider: str, model: str, config: AIConfig, options: ConnectionOptions | EmbeddedOptions
) -> CallDefaults:
    timeout, optimize, cache = options.get("timeout"), options.get("optimize"), options.get("cache")
    return CallDefaults(
        provider,
        f"{provider}/{model}" if provider and not model.startswith(f"{provider}/") else model,
        config.timeout if timeout is None else check_timeout(timeout),
        streaming=config.enable_streaming,
        vision=config.enable_vision,
        reasoning=config.enable_reasoning,
        temperature=config.temperature,
        max_tokens=config.max_tokens,
        optimize=() if optimize is None else require_optimizations(optimize),
        cache=None if cache is None else require_cache_policy(cache),
    )


def _switches(config: AIConfig, options: ServerSwitches) -> dict[str, bool | None]:
    given = {name: options.get(name) for name in SWITCHES}
    return {name: getattr(config, name) if value is None else bool(value) for name, value in given.items()}


def _reject_server_settings(config: AIConfig, options: ServerSwitches) -> None:
    """Raise ConfigurationError for settings that only a server in this process takes from its client."""
    switched_on = [name for name, value in _switches(config, options).items() if value]
    for name in (*switched_on, *(["base_url"] if config.base_url else [])):
        raise ConfigurationError(
            f"{name} applies to a server in this process; a gateway decides for itself",
            solution=f"Remove {name}, and configure it in the gateway's configuration file, or use "
            "AIManager.embedded(…).",
        )


def _require_no_network_options(options: ClientOptions) -> None:
    given = [name for name in NETWORK_OPTIONS if options.get(name)]
    if given:
        raise ConfigurationError(
            f"{given[0]} applies to a gateway, but without a target the server runs in this process",
            solution=f"Pass target=… or set {TARGET_ENV}, or remove {given[0]}.",
        )


def _provider_key(api_key: str, provider: str) -> str:
    if provider == "mock":  # it needs no key, so none is sent
        return ""
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
    certificates = [
        _pem("root_certificates", options.get("root_certificates")),
        _pem("private_key", options.get("private_key")),
        _pem("certificate_chain", options.get("certificate_chain")),
    ]
    target, compression = check_target(target), options.get("compression")
    return Endpoint(
        target,
        retries=_retries(config, options.get("retries")),
        max_wait=_max_wait(config, options.get("max_wait")),
        load_balancing=_load_balancing(options.get("load_balancing")),
        compresses=not is_loopback(target) if compression is None else bool(compression),
        tls=bool(options.get("tls")) or any(certificates),
        root_certificates=certificates[0],
        private_key=certificates[1],
        certificate_chain=certificates[2],
        token=_token(token),
        provider=provider,
        provider_key=provider_key,
    )


def _endpoint_in_process(
    server_config: ServerConfig | None,
    config: AIConfig,
    options: ClientOptions | EmbeddedOptions,
    provider: str,
    provider_key: str,
) -> Endpoint:
    return Endpoint(
        IN_PROCESS,
        retries=_retries(config, options.get("retries")),
        max_wait=_max_wait(config, options.get("max_wait")),
        provider=provider,
        provider_key=provider_key,
        server=ServerInProcess(
            server_config,
            provider,
            config.base_url,
            _switches(config, options),
            keep_conversations=bool(options.get("keep_conversations")),
            extensions=cast("EmbeddedOptions", options).get("extensions", ()),
        ),
    )


def _retries(config: AIConfig, requested: int | None) -> int:
    if requested is not None:
        return check_retries(requested)
    return MAX_RETRIES if config.retries is None else config.retries


def _max_wait(config: AIConfig, requested: float | None) -> float:
    if requested is not None:
        return check_max_wait(requested)
    return DEFAULT_MAX_WAIT if config.max_wait is None else config.max_wait


def _pem(parameter: str, value: bytes | None) -> bytes | None:
    # gRPC would fail with a message that does not mention it. The error omits the value, which may be a key.
    if value is None or (isinstance(value, bytes) and b"-----BEGIN " in value):
        return value
    raise ConfigurationError(
        f"{parameter} must be the bytes of a PEM file", f"Write {parameter}=Path('….pem').read_bytes()."
    )


def _load_balancing(policy: LoadBalancing | None) -> str:
    if policy is None or policy in get_args(LoadBalancing):
        return policy or ""
    raise ConfigurationError(
        f"load_balancing must be one of {', '.join(get_args(LoadBalancing))}, got {policy!r}",
        "Omit it to use round_robin for host names and pick_first for other addresses.",
    )
