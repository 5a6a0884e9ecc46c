"""The client for asyncio: AsyncAIManager is AIManager with `await`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, Unpack

from ._convert.requests import Prompt, generate_request, stream_request
from ._transport.channel import AsyncConnection, AsyncStubs
from ._transport.errors import translated
from ._transport.retry import patiently_async
from ._transport.settings import LOCAL, REQUEST_SECONDS, STREAM_SECONDS, Setup, with_key, without_key
from .config import AIConfig
from .options import ConnectionOptions, OnInterruption, RequestOptions
from .resources.health import AsyncHealth
from .resources.metrics import AsyncMetrics
from .resources.models import AsyncModels
from .stream import AsyncAIStream, AsyncCall
from .types.embeddings import Embeddings, EmbedOptions, embed_request
from .types.response import AIResponse
from .v1.embedding_pb2 import EmbedResponse
from .v1.generation_pb2 import GenerateResponse

Built = TypeVar("Built")


class AsyncAIManager:
    """As AIManager, for asyncio. A client belongs to the event loop of its first call.

    >>> AsyncAIManager("any key", provider="mock")
    AsyncAIManager(target='127.0.0.1:50051', model='mock/latest')
    """

    models: AsyncModels
    """Which models there are."""
    health: AsyncHealth
    """How their providers do."""
    metrics: AsyncMetrics
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
        """A client for a gateway that holds the providers' keys. Without a model the server's default answers."""
        client = cls.__new__(cls)
        client._begin(without_key(target, model, config, connection))
        return client

    def _begin(self, setup: Setup) -> None:
        self._setup = setup
        self._connection = AsyncConnection(setup.endpoint)
        self.models = AsyncModels(self._connection, setup)
        self.health = AsyncHealth(self._connection)
        self.metrics = AsyncMetrics(self._connection)

    async def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> AIResponse:
        """Waits for the whole answer. RequestOptions says what else may be said. Files are read in a thread.

        A lost connection is tried again, a rate limit that passes in time is waited for once; no repeat bills twice.
        Raises AIError.
        """
        patience = self._setup.patience(options.get("timeout"), REQUEST_SECONDS)
        request = await _built(generate_request, prompt, options, self._setup)

        async def send() -> GenerateResponse:
            with translated(self._connection):
                return await self.stubs.generation.Generate(
                    request, timeout=patience.remaining, metadata=self._setup.endpoint.generation_metadata
                )

        return AIResponse(await patiently_async(patience, send), options.get("output"))

    def stream(
        self, prompt: Prompt, *, on_interruption: OnInterruption = "restart", **options: Unpack[RequestOptions]
    ) -> AsyncAIStream:
        """The answer while it is written. Takes what `request` takes; files are read and sent at the first read.

        `on_interruption` as in AIManager.stream.
        """
        self._setup.require_streaming()
        patience = self._setup.patience(options.get("timeout"), STREAM_SECONDS, streams=True)

        async def send(remaining: float) -> AsyncCall:
            request = await _built(
                partial(stream_request, on_interruption=on_interruption), prompt, options, self._setup
            )
            return self.stubs.generation.StreamGenerate(
                request, timeout=remaining, metadata=self._setup.endpoint.generation_metadata
            )

        return AsyncAIStream(patience, send, self._connection, options.get("output"))

    async def embed(self, inputs: str | Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """A vector for each text, in their order, all or nothing. EmbedOptions says what else may be said.

        Raises AIError.
        """
        patience = self._setup.patience(options.get("timeout"), REQUEST_SECONDS)
        request = embed_request(inputs, options, self._setup)

        async def send() -> EmbedResponse:
            with translated(self._connection):
                return await self.stubs.embeddings.Embed(
                    request, timeout=patience.remaining, metadata=self._setup.endpoint.generation_metadata
                )

        return Embeddings(await patiently_async(patience, send))

    async def suggest_model(self, provider: str, capabilities: Sequence[str]) -> str:
        """The id of the provider's model that has all the capabilities, such as vision or reasoning, and fits best.

        Raises InvalidRequestError, naming what is missing, where there is none.
        """
        return await self.models.suggest_model(provider, capabilities)

    @property
    def stubs(self) -> AsyncStubs:
        """The generated stubs, for what the client does not wrap. They send no token or key of their own."""
        return self._connection.stubs

    async def close(self) -> None:
        """Closes the channel; calls under way end with AIError, reason CANCELLED. May be called twice."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncAIManager(target={self._setup.endpoint.target!r}, model={self._setup.model!r})"


async def _built(
    build: Callable[[Prompt, RequestOptions, Setup], Built], prompt: Prompt, options: RequestOptions, setup: Setup
) -> Built:
    """Builds a request; in a thread where files have to be read."""
    if options.get("attachments"):
        return await asyncio.to_thread(build, prompt, options, setup)
    return build(prompt, options, setup)
