"""The client: AIManager asks models through a gateway, one call a method."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self, Unpack

from ._convert.requests import Prompt, generate_request, stream_request
from ._transport.channel import Connection, Stubs
from ._transport.errors import translated
from ._transport.retry import patiently
from ._transport.settings import LOCAL, REQUEST_SECONDS, STREAM_SECONDS, Setup, with_key, without_key
from .config import AIConfig
from .options import ConnectionOptions, OnInterruption, RequestOptions
from .resources.health import Health
from .resources.metrics import Metrics
from .resources.models import Models
from .stream import AIStream, Call
from .types.embeddings import Embeddings, EmbedOptions, embed_request
from .types.response import AIResponse
from .v1.embedding_pb2 import EmbedResponse
from .v1.generation_pb2 import GenerateResponse


class AIManager:
    """Asks models through a gateway. One client may be shared by all threads of a process; make it after forking.

    `api_key` is the provider's own key. It goes with questions to that provider, is kept nowhere else, and never
    leaves this machine in plaintext; the mock provider takes any. Without a key of your own use `AIManager.gateway`.
    The provider is claude and the model latest unless said here or in `config`. The channel opens on the first call.

    Raises ConfigurationError at once for what cannot work.

    >>> with AIManager("any key", provider="mock") as ai:
    ...     ai
    AIManager(target='127.0.0.1:50051', model='mock/latest')
    """

    models: Models
    """Which models there are."""
    health: Health
    """How their providers do."""
    metrics: Metrics
    """What was asked, and what it took."""

    def __init__(
        self,
        api_key: str,
        provider: str | None = None,
        model: str | None = None,
        config: AIConfig | None = None,
        *,
        target: str = LOCAL,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        self._begin(with_key(api_key, provider, model, config, target, connection))

    @classmethod
    def gateway(
        cls,
        target: str = LOCAL,
        *,
        model: str | None = None,
        config: AIConfig | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> Self:
        """A client for a gateway that holds the providers' keys. Without a model the server's default answers.

        >>> AIManager.gateway("gateway.example:443", token="t0ken", model="openai/fast", tls=True)
        AIManager(target='gateway.example:443', model='openai/fast')
        """
        client = cls.__new__(cls)
        client._begin(without_key(target, model, config, connection))
        return client

    def _begin(self, setup: Setup) -> None:
        self._setup = setup
        self._connection = Connection(setup.endpoint)
        self.models = Models(self._connection, setup)
        self.health = Health(self._connection)
        self.metrics = Metrics(self._connection)

    def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> AIResponse:
        """Waits for the whole answer. RequestOptions says what else may be said.

        A lost connection is tried again, a rate limit that passes in time is waited for once; no repeat bills twice.
        Raises AIError.
        """
        patience = self._setup.patience(options.get("timeout"), REQUEST_SECONDS)
        request = generate_request(prompt, options, self._setup)

        def send() -> GenerateResponse:
            with translated(self._connection):
                return self.stubs.generation.Generate(
                    request, timeout=patience.remaining, metadata=self._setup.endpoint.generation_metadata
                )

        return AIResponse(patiently(patience, send), options.get("output"))

    def stream(
        self, prompt: Prompt, *, on_interruption: OnInterruption = "restart", **options: Unpack[RequestOptions]
    ) -> AIStream:
        """The answer while it is written. Takes what `request` takes; nothing is sent before the first read.

        Where a provider fails after the answer has begun, `on_interruption="restart"` has the gateway begin it again,
        with the next of `fallback_models` or the same model, but never after a tool call; AIStream says how that is
        read. `"fail"` ends it with StreamInterruptedError.
        """
        self._setup.require_streaming()
        request = stream_request(prompt, options, self._setup, on_interruption)
        patience = self._setup.patience(options.get("timeout"), STREAM_SECONDS, streams=True)

        def send(remaining: float) -> Call:
            return self.stubs.generation.StreamGenerate(
                request, timeout=remaining, metadata=self._setup.endpoint.generation_metadata
            )

        return AIStream(patience, send, self._connection, options.get("output"))

    def embed(self, inputs: str | Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """A vector for each text, in their order, all or nothing. EmbedOptions says what else may be said.

        Raises AIError.
        """
        patience = self._setup.patience(options.get("timeout"), REQUEST_SECONDS)
        request = embed_request(inputs, options, self._setup)

        def send() -> EmbedResponse:
            with translated(self._connection):
                return self.stubs.embeddings.Embed(
                    request, timeout=patience.remaining, metadata=self._setup.endpoint.generation_metadata
                )

        return Embeddings(patiently(patience, send))

    def suggest_model(self, provider: str, capabilities: Sequence[str]) -> str:
        """The id of the provider's model that has all the capabilities, such as vision or reasoning, and fits best.

        Raises InvalidRequestError, naming what is missing, where there is none.
        """
        return self.models.suggest_model(provider, capabilities)

    @property
    def stubs(self) -> Stubs:
        """The generated stubs, for what the client does not wrap. They send no token or key of their own."""
        return self._connection.stubs

    def close(self) -> None:
        """Closes the channel; calls under way end with AIError, reason CANCELLED. May be called twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AIManager(target={self._setup.endpoint.target!r}, model={self._setup.model!r})"
