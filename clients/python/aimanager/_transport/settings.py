"""Puts a client together from what its caller said: keywords first, then AIConfig, then defaults. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..config import MOST_RETRIES, AIConfig, check_retries, check_timeout
from ..errors import ConfigurationError
from ..options import ConnectionOptions, refuse_unknown
from .channel import Endpoint, is_loopback
from .retry import Patience

LOCAL = "127.0.0.1:50051"
REQUEST_SECONDS = 600.0  # reasoning takes minutes
STREAM_SECONDS = 1200.0
READ_SECONDS = 10.0
PROBE_SECONDS = 30.0  # the gateway asks every provider first
HOUR_SECONDS = 3600.0  # what is looked back on, unless said

NO_KEY = "API key is required and must be a non-empty string"
CONNECTION = tuple(ConnectionOptions.__annotations__)
PROVIDER = re.compile(r"[a-z0-9][a-z0-9_.-]*")  # it becomes part of a metadata key


@dataclass(frozen=True, slots=True)
class Setup:
    """All a client needs to know. `provider` is put before a model named without one; empty: the server decides."""

    endpoint: Endpoint
    provider: str
    model: str
    timeout: float | None
    streaming: bool
    vision: bool
    reasoning: bool

    def named(self, model: str | None) -> str:
        """The model to ask for, with its provider. A name with a slash is taken as it is."""
        if not model:
            return self.model
        return f"{self.provider}/{model}" if self.provider and "/" not in model else model

    def patience(self, asked: float | None, usual: float, *, streams: bool = False) -> Patience:
        """The deadline of a call that begins now: as asked, else the client's, else the usual one."""
        seconds = check_timeout(asked) if asked is not None else self.timeout or usual
        return Patience(seconds, resends=self.endpoint.retries > 0, lost=self.endpoint.retries if streams else 0)

    def require_streaming(self) -> None:
        """Raises ConfigurationError if streaming is switched off."""
        if not self.streaming:
            raise ConfigurationError(
                "streaming is switched off: AIConfig.enable_streaming is False",
                solution="Use request(), or switch it on.",
            )


def with_key(
    api_key: str,
    provider: str | None,
    model: str | None,
    config: AIConfig | None,
    target: str,
    options: ConnectionOptions,
) -> Setup:
    """A client with its own provider key. Raises ConfigurationError before anything could be sent wrongly."""
    refuse_unknown("AIManager", options, ("api_key", "provider", "model", "config", "target", *CONNECTION))
    config = config or AIConfig()
    model = model or config.model or "latest"
    provider = provider or config.provider or (model.partition("/")[0] if "/" in model else "claude")
    if not isinstance(provider, str) or not PROVIDER.fullmatch(provider):
        raise ConfigurationError(
            # Its value stays out: it is a key where the first two arguments were swapped.
            "provider must be the name of a provider, in lower case",
            solution="Name one that the gateway has, such as 'claude', 'openai', 'deepseek' or 'mock'.",
        )
    # The mock takes any key and needs none, so none is sent.
    key = (
        "" if provider == "mock" else secret(api_key, NO_KEY, "Pass your provider's key, or use AIManager.gateway(…).")
    )
    endpoint = _endpoint(target, config, options, provider=provider, key=key)
    if key and not endpoint.tls and not is_loopback(target):
        raise ConfigurationError(
            f"a provider key is never sent in plaintext beyond this machine, and {target!r} is beyond it",
            solution="Pass tls=True, or keep the key on the server and use AIManager.gateway(…).",
        )
    return _setup(endpoint, provider, model, config, options)


def without_key(target: str, model: str | None, config: AIConfig | None, options: ConnectionOptions) -> Setup:
    """A client for a gateway that has the keys. Without provider and model the server's default answers."""
    refuse_unknown("gateway", options, ("target", "model", "config", *CONNECTION))
    config = config or AIConfig()
    provider = config.provider or ""
    model = model or config.model or ("latest" if provider else "")
    return _setup(_endpoint(target, config, options), provider, model, config, options)


def _setup(endpoint: Endpoint, provider: str, model: str, config: AIConfig, options: ConnectionOptions) -> Setup:
    config.refuse_server_switches()
    timeout = options.get("timeout")
    return Setup(
        endpoint,
        provider,
        f"{provider}/{model}" if provider and not model.startswith(f"{provider}/") else model,
        config.timeout if timeout is None else check_timeout(timeout),
        streaming=config.enable_streaming,
        vision=config.enable_vision,
        reasoning=config.enable_reasoning,
    )


def secret(value: str | None, missing: str, solution: str) -> str:
    """The value, if it can travel as metadata. The error never shows it: gRPC's own would."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(missing, solution=solution)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(
            "the key or token holds characters that no key has",
            solution="Look for a line break or a space around it, as a file or a copy may leave.",
        )
    return value


def _endpoint(
    target: str, config: AIConfig, options: ConnectionOptions, *, provider: str = "", key: str = ""
) -> Endpoint:
    if not isinstance(target, str) or not target:
        raise ConfigurationError(f"target must be an address such as {LOCAL!r}, got {target!r}")
    token = options.get("token")
    asked = options.get("retries")
    retries = check_retries(asked) if asked is not None else config.retries
    certificates = options.get("root_certificates"), options.get("private_key"), options.get("certificate_chain")
    return Endpoint(
        target,
        retries=MOST_RETRIES if retries is None else retries,
        tls=bool(options.get("tls")) or any(certificates),
        root_certificates=certificates[0],
        private_key=certificates[1],
        certificate_chain=certificates[2],
        token="" if token is None else secret(token, "token must be a non-empty string", "Leave it out for none."),
        provider=provider,
        key=key,
    )
