"""What the synchronous and the asyncio client share: how they are created, and how they show themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self, Unpack

from ._transport.settings import ClientSettings, settings_in_process, settings_with_key, settings_without_key
from .config import AIConfig
from .embedded import ServerConfig
from .options import ClientOptions, ConnectionOptions, EmbeddedOptions


class ConstructedClient(ABC):
    """A client that is created with a key, for a gateway, or with a server in this process."""

    _settings: ClientSettings

    def __init__(
        self,
        api_key: str = "",
        provider: str | None = None,
        model: str | None = None,
        config: AIConfig | None = None,
        *,
        target: str | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        self._configure(settings_with_key(api_key, provider, model, config, target, options))

    @classmethod
    def embedded(
        cls,
        api_key: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        config: AIConfig | ServerConfig | None = None,
        **options: Unpack[EmbeddedOptions],
    ) -> Self:
        """Create a client with a server of its own in this process, which starts in a thread with the first call.

        `config` is an AIConfig, or the path or the content of a config file of the server. Without `api_key` the server
        uses the keys in its configuration and environment, and without `provider` and `model` its default model.
        Raises ConfigurationError if the server is not installed or its configuration is invalid.

        >>> from aimanager import AIManager
        >>> with AIManager.embedded(provider="mock") as ai:
        ...     print(ai.request("[[reply: Hello.]]"))
        Hello.
        """
        client = cls.__new__(cls)
        client._configure(settings_in_process(api_key, provider, model, config, options))
        return client

    @classmethod
    def gateway(
        cls,
        target: str | None = None,
        *,
        model: str | None = None,
        config: AIConfig | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> Self:
        """Create a client for a gateway that holds the provider keys. Without `model` the gateway's default applies.

        Without `target`, the environment variables AIMANAGER_TARGET and AIMANAGER_TOKEN apply, else 127.0.0.1:50051.

        >>> from aimanager import AIManager
        >>> AIManager.gateway("gateway.example:443", token="t0ken", model="openai/fast", tls=True)
        AIManager(target='gateway.example:443', model='openai/fast')
        """
        client = cls.__new__(cls)
        client._configure(settings_without_key(target, model, config, connection))
        return client

    @abstractmethod
    def _configure(self, settings: ClientSettings) -> None:
        """Create the channel and the sub-clients."""

    @property
    def target(self) -> str:
        """The address that calls go to, or `in process`."""
        return self._settings.endpoint.target

    def __repr__(self) -> str:
        return f"{type(self).__name__}(target={self.target!r}, model={self._settings.defaults.model!r})"
