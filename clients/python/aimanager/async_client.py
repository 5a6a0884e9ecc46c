"""The asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from ._convert.batch import MAX_IN_FLIGHT, read_batch
from ._convert.conversations import open_conversation
from ._convert.embeddings import embed
from ._convert.operation import STREAM_TIMEOUT
from ._convert.output_format import Output, OutputType
from ._convert.prompt import Prompt
from ._convert.requests import StreamOperation, generate, stream_generate
from ._convert.tool_loop import MAX_ROUNDS, OnToolError, ToolLoop
from ._transport.channel import AsyncChannel, AsyncStubs
from ._transport.file_reading import build_operation
from ._transport.settings import ClientSettings
from .async_conversation import AsyncConversation
from .construction import ConstructedClient
from .errors import AIError
from .options import (
    BatchRequest,
    EmbedOptions,
    GenerationOptions,
    OnInterruption,
    RequestOptions,
    RunOptions,
)
from .resources.conversations import AsyncConversations
from .resources.health import AsyncHealth
from .resources.limits import AsyncLimits
from .resources.metrics import AsyncMetrics
from .resources.models import AsyncModels
from .stream import AsyncAIStream
from .types.embeddings import Embeddings
from .types.response import AIResponse
from .types.run_result import RunResult

Value = TypeVar("Value")


class AsyncAIManager(ConstructedClient):
    """The asyncio version of AIManager. Several event loops may use one client.

    >>> import asyncio
    >>> async def ask() -> str:
    ...     async with AsyncAIManager.gateway(target) as ai:
    ...         return str(await ai.request("[[reply: Hello.]]"))
    >>> asyncio.run(ask())
    'Hello.'
    >>> AsyncAIManager("any key", provider="mock")
    AsyncAIManager(target='in process', model='mock/latest')
    """

    models: AsyncModels
    """Models of the gateway."""
    health: AsyncHealth
    """Health of the providers."""
    limits: AsyncLimits
    """Rate limits of a server in this process."""
    metrics: AsyncMetrics
    """Metrics of the requests served."""
    conversations: AsyncConversations
    """Conversations that the server keeps."""

    def _configure(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._channel = AsyncChannel(settings.endpoint)
        self.models = AsyncModels(self._channel, settings.defaults)
        self.health = AsyncHealth(self._channel)
        self.limits = AsyncLimits(self._channel)
        self.metrics = AsyncMetrics(self._channel)
        self.conversations = AsyncConversations(self._channel, settings.defaults)

    @overload
    async def request(
        self, prompt: Prompt, *, output: OutputType[Value], **options: Unpack[GenerationOptions]
    ) -> AIResponse[Value]: ...
    @overload
    async def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> AIResponse[Any]: ...
    async def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> AIResponse[Any]:
        """Generate a response and return it whole, like AIManager.request. Reads files in a thread. Raises AIError."""
        defaults = self._settings.defaults
        operation = await build_operation(lambda: generate(prompt, options, defaults), options)
        return await self._channel.call(operation)

    @overload
    def stream(
        self,
        prompt: Prompt,
        *,
        on_interruption: OnInterruption = "restart",
        output: OutputType[Value],
        **options: Unpack[GenerationOptions],
    ) -> AsyncAIStream[Value]: ...
    @overload
    def stream(
        self, prompt: Prompt, *, on_interruption: OnInterruption = "restart", **options: Unpack[RequestOptions]
    ) -> AsyncAIStream[Any]: ...
    def stream(
        self, prompt: Prompt, *, on_interruption: OnInterruption = "restart", **options: Unpack[RequestOptions]
    ) -> AsyncAIStream[Any]:
        """Generate a response and stream it, like AIManager.stream. The first read sends the request."""
        defaults = self._settings.defaults
        defaults.require_streaming()
        defaults.timeout_for(options.get("timeout"), STREAM_TIMEOUT)  # an invalid timeout fails here, not on a read

        async def build() -> StreamOperation:
            return await build_operation(lambda: stream_generate(prompt, options, defaults, on_interruption), options)

        return AsyncAIStream(self._channel, build)

    async def conversation(
        self,
        id: str | None = None,  # noqa: A002  # the word of the API
        *,
        title: str | None = None,
        model: str | None = None,
        system_instruction: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> AsyncConversation:
        """Start a conversation whose history the server keeps, or continue the one with this id.

        Like AIManager.conversation. Raises ConversationNotFoundError and other AIErrors.
        """
        defaults = self._settings.defaults
        opened = await self._channel.call(open_conversation(id, title, model, system_instruction, labels, defaults))
        return AsyncConversation(self._channel, defaults, opened)

    async def run(
        self,
        prompt: Prompt,
        tools: Sequence[Callable[..., Any]],
        *,
        max_rounds: int = MAX_ROUNDS,
        on_tool_error: OnToolError = "report",
        output: Output | None = None,
        **options: Unpack[RunOptions],
    ) -> RunResult:
        """Send a request, run the tools that the model calls, send their results, until it calls none.

        Like AIManager.run, one tool after the other. Coroutine functions are awaited, other functions run in a thread.
        """
        loop = ToolLoop(prompt, tools, max_rounds, on_tool_error, options, output=output, accepts_coroutines=True)
        while not loop.is_finished:
            loop.receive(await self.request(loop.messages, **loop.options()))
            loop.send_results([await loop.run_call_async(call) for call in loop.calls])
        return loop.result

    async def batch(
        self,
        requests: Iterable[Prompt | BatchRequest],
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        **options: Unpack[RequestOptions],
    ) -> list[AIResponse[Any] | AIError]:
        """Send many requests, at most `max_in_flight` at once, like AIManager.batch."""
        waiting = enumerate(read_batch(requests, options, max_in_flight))
        results: dict[int, AIResponse[Any] | AIError] = {}

        async def send_waiting() -> None:
            for index, item in waiting:
                try:
                    results[index] = await self.request(item.prompt, **item.options)
                except AIError as error:
                    results[index] = error

        async with asyncio.TaskGroup() as workers:
            for _ in range(max_in_flight):
                workers.create_task(send_waiting())
        return [results[index] for index in range(len(results))]

    async def embed(self, inputs: str | Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """Return one vector per text, in the same order. EmbedOptions lists the options.

        Fails as a whole if one text fails. Retried like `request`, and not billed twice. Raises AIError.
        """
        return await self._channel.call(embed(inputs, options, self._settings.defaults))

    async def suggest_model(self, provider: str, required_capabilities: Sequence[str]) -> str:
        """Return the id of the provider's best model with all these capabilities, such as vision or reasoning.

        Raises InvalidRequestError, naming the missing capabilities, if no model has them.
        """
        return await self.models.suggest_model(provider, required_capabilities)

    @property
    def stubs(self) -> AsyncStubs:
        """Generated stubs, for direct access to the API. Their calls do not send the client's token or key."""
        return self._channel.stubs

    async def close(self) -> None:
        """Close the channel. Calls in flight raise AIError with reason CANCELLED. Idempotent."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
