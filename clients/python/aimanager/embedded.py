"""The server in this process, for programs without a gateway. It is imported only when a client embeds it."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, TypeAlias

from .errors import AIError, ConfigurationError, closed_error, error_class
from .types.rate_limit import RateLimitResult

IN_PROCESS = "in process"
"""The target of a client with a server of its own."""

METRICS_SERVICE = "/aimanager.v1.MetricsService/"
CORRECT_IT = "Correct the configuration of the server in this process: config=…, AIConfig, or environment variables."
SERVER_PACKAGES = (
    *("aiohappyeyeballs", "grpc_health", "grpc_reflection", "httptools", "httpx", "jsonschema"),
    *("prometheus_client", "pydantic", "structlog"),
)
"""What the server imports and the client does not."""

ServerConfig: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]
"""The path of a config file of the server, or its content."""


def missing_package() -> str:
    """Return a package that the server needs and that is not installed; empty if it can be embedded."""
    return next((name for name in ("aimanager_server", *SERVER_PACKAGES) if find_spec(name) is None), "")


class ServerInProcess:
    """A server that belongs to one client. It starts in a thread with the first call and stops with the client.

    Raises ConfigurationError if the server is not installed or its configuration is invalid.
    """

    def __init__(
        self,
        config: ServerConfig | None,
        provider: str,
        base_url: str | None,
        switches: Mapping[str, bool | None],
        *,
        keep_conversations: bool = False,
        extensions: Sequence[Any] = (),
    ) -> None:
        missing = missing_package()
        if missing:
            raise ConfigurationError(
                f"Cannot run the server in this process: the package {missing} is missing.",
                solution="Install the server with: pip install 'aimanager[server]', or pass target=… of a gateway.",
            )
        from aimanager_server.config.errors import SettingsError
        from aimanager_server.config.provider_defaults import KNOWN_PROVIDERS
        from aimanager_server.embedded import EmbeddedServer, Parts, load_embedded_settings, with_extensions
        from aimanager_server.rpc.in_process import InProcessCall

        providers = _named_provider(provider, base_url, is_known=provider in KNOWN_PROVIDERS)
        parts = Parts(**{name.removeprefix("enable_"): value for name, value in switches.items()})
        try:
            loaded = load_embedded_settings(config, providers, parts, os.environ, keep_conversations=keep_conversations)
            settings, features = with_extensions(loaded, extensions)
        except SettingsError as error:
            raise ConfigurationError(str(error), solution=CORRECT_IT) from None
        except OSError as error:
            raise ConfigurationError(f"Cannot keep conversations: {error}.", solution="Set XDG_STATE_HOME.") from error
        self._server = EmbeddedServer(settings, features, logging=bool(parts.logging))
        self._has_metrics = parts.metrics is not False
        self._new_call = InProcessCall
        self._process = 0
        self._finalizer = weakref.finalize(self, _stop, self._server)
        self._finalizer.atexit = False  # at exit it is closed, which waits

    def start_call(self, method: str, request: bytes, metadata: Any, timeout: float | None, receiver: Any) -> Any:
        """Start a call, and with the first one the server. Raises ConfigurationError after a fork."""
        if self._process != os.getpid():
            self._start()
        if not self._has_metrics and method.startswith(METRICS_SERVICE):
            raise ConfigurationError("The metrics are off: enable_metrics is False.", solution="Omit enable_metrics.")
        call = self._new_call(method, request, metadata, timeout, receiver)
        self._server.start_call(call)
        return call

    def check_rate_limit(self, provider: str, tier: str) -> RateLimitResult:
        """Return whether a request to the provider is admitted now. Raises InvalidProviderError or InvalidRequestError.

        Blocks while the server starts.
        """
        from aimanager_server.core.gateway_error import GatewayError

        if self._process != os.getpid():
            self._start()
        try:
            seconds, message = self._server.check_rate_limit(provider, tier)
        except GatewayError as error:
            kind = error_class(error.reason) or AIError
            raise kind.build(error.message, error.solution, reason=error.reason) from None
        except RuntimeError:
            self.require_started()
            raise closed_error() from None
        return RateLimitResult(not seconds, seconds or None, message)

    def require_started(self) -> None:
        """Raise ConfigurationError if the server could not start."""
        error = self._server.startup_error
        if error is not None:
            raise ConfigurationError(
                f"Cannot start the server in this process: {error}", solution=CORRECT_IT
            ) from error

    def close(self) -> None:
        """Stop the server. Its calls in flight end with reason CANCELLED."""
        if self._process == os.getpid():
            self._finalizer()
            self._server.close()

    def _start(self) -> None:
        if self._process not in (0, os.getpid()):  # another thread may have set it in the meantime
            raise ConfigurationError(
                f"The server of this client runs in process {self._process}, and process {os.getpid()} was forked "
                "from it.",
                solution="Create the client after the fork, or make its first call after it.",
            )
        self._process = os.getpid()
        atexit.register(self._server.close)


def _stop(server: Any) -> None:
    """Stop a server without waiting, as the garbage collector may run in any thread."""
    atexit.unregister(server.close)
    server.stop()


def _named_provider(provider: str, base_url: str | None, *, is_known: bool) -> dict[str, dict[str, Any]]:
    """Return the settings of the provider that the client names, which the server then has though it is not built in.

    One that is not known and has an address is taken for a chat-completions server.
    """
    address = {} if base_url is None else {"base_url": base_url}
    if is_known:
        return {provider: address}
    if provider and address:
        return {provider: {"wire": "chat_completions", "allow_any_model": True, **address}}
    return {}
