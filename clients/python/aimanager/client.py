"""The synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from ._convert.batch import MAX_IN_FLIGHT, BatchItem, read_batch
from ._convert.conversations import open_conversation
from ._convert.embeddings import embed
from ._convert.output_format import Output, OutputType
from ._convert.prompt import Prompt
from ._convert.requests import generate, stream_generate
from ._convert.tool_loop import MAX_ROUNDS, OnToolError, ToolLoop
from ._transport.channel import Stubs, SyncChannel
from ._transport.settings import ClientSettings
from .construction import ConstructedClient
from .conversation import Conversation
from .errors import AIError
from .options import (
    BatchRequest,
    EmbedOptions,
    GenerationOptions,
    OnInterruption,
    RequestOptions,
    RunOptions,
)
from .resources.conversations import Conversations
from .resources.health import Health
from .resources.limits import Limits
from .resources.metrics import Metrics
from .resources.models import Models
from .stream import AIStream
from .types.embeddings import Embeddings
from .types.response import AIResponse
from .types.run_result import RunResult

Value = TypeVar("Value")


class AIManager(ConstructedClient):
    """Client of an aimanager gateway, or of a server in this process. Threads may share it.

    `api_key` is the caller's own key for `provider`. It is sent with calls to a model and used for that provider only.
    It is not stored, and never leaves this machine in plaintext. The mock provider accepts any key. Use
    `AIManager.gateway` if the gateway holds the keys. The default provider is claude and the default model latest.

    Without `target`, calls go to the gateway that the environment variable AIMANAGER_TARGET names, else to a server in
    this process if it is installed (`pip install 'aimanager[server]'`), else to 127.0.0.1:50051. Nothing is opened or
    started before the first call; a process must not fork after it. Raises ConfigurationError for invalid settings.

    >>> with AIManager("any key", provider="mock") as ai:
    ...     ai
    AIManager(target='in process', model='mock/latest')
    """

    models: Models
    """Models of the gateway."""
    health: Health
    """Health of the providers."""
    limits: Limits
    """Rate limits of a server in this process."""
    metrics: Metrics
    """Metrics of the requests served."""
    conversations: Conversations
    """Conversations that the server keeps."""

    def _configure(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._channel = SyncChannel(settings.endpoint)
        self.models = Models(self._channel, settings.defaults)
        self.health = Health(self._channel)
        self.limits = Limits(self._channel)
        self.metrics = Metrics(self._channel)
        self.conversations = Conversations(self._channel, settings.defaults)

    @overload
    def request(
        self, prompt: Prompt, *, output: OutputType[Value], **options: Unpack[GenerationOptions]
    ) -> AIResponse[Value]: ...
    @overload
    def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> AIResponse[Any]: ...
    def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> AIResponse[Any]:
        """Generate a response and return it whole. RequestOptions lists the options.

        A call is retried if the gateway is unavailable, and once after the gateway's rate limit if that ends within
        `max_wait` and before the deadline. Retries are not billed twice. Raises AIError.

        >>> print(ai.request("[[reply: Blue light scatters more.]]", temperature=0.5))
        Blue light scatters more.
        """
        return self._channel.call(generate(prompt, options, self._settings.defaults))

    @overload
    def stream(
        self,
        prompt: Prompt,
        *,
        on_interruption: OnInterruption = "restart",
        output: OutputType[Value],
        **options: Unpack[GenerationOptions],
    ) -> AIStream[Value]: ...
    @overload
    def stream(
        self, prompt: Prompt, *, on_interruption: OnInterruption = "restart", **options: Unpack[RequestOptions]
    ) -> AIStream[Any]: ...
    def stream(
        self, prompt: Prompt, *, on_interruption: OnInterruption = "restart", **options: Unpack[RequestOptions]
    ) -> AIStream[Any]:
        """Generate a response and stream it. Takes the options of `request`; the first read sends the request.

        If a provider fails after the first content, `on_interruption="restart"` restarts the response with the next of
        `fallback_models` or the same model, but never after a tool call. AIStream describes how to read it.
        `on_interruption="fail"` raises StreamInterruptedError instead.

        >>> print(*ai.stream("[[reply: Roses are red.]]").text)
        Roses  are  red.
        """
        self._settings.defaults.require_streaming()
        return AIStream(self._channel, stream_generate(prompt, options, self._settings.defaults, on_interruption))

    def conversation(
        self,
        id: str | None = None,  # noqa: A002  # the word of the API
        *,
        title: str | None = None,
        model: str | None = None,
        system_instruction: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Conversation:
        """Start a conversation whose history the server keeps, or continue the one with this id.

        `model` and `system_instruction` apply to requests that have none of their own; `title` and `labels` are for
        you. Raises ConversationNotFoundError and other AIErrors.

        >>> conversation = ai.conversation(title="Trip", system_instruction="Be brief.")
        >>> print(conversation.request("[[reply: Hello.]]").with_temperature(0.5).send())
        Hello.
        >>> len(ai.conversation(conversation.id).history)
        2
        """
        defaults = self._settings.defaults
        opened = self._channel.call(open_conversation(id, title, model, system_instruction, labels, defaults))
        return Conversation(self._channel, defaults, opened)

    def run(
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

        `tools` are functions; their arguments are converted to their type hints. A tool that raises, that does not
        exist or whose arguments do not fit is reported to the model, with the type and message of the exception;
        `on_tool_error="raise"` raises instead. After `max_rounds` responses with tool calls ToolRoundsExceededError is
        raised. Takes the options of `request`. Raises AIError.

        >>> def weather(city: str) -> str:
        ...     "Return the weather."
        ...     return f"Sunny in {city}."
        >>> result = ai.run('[[tool: weather {"city": "Rome"}]] [[then]] [[reply: It is sunny.]]', [weather])
        >>> print(result, len(result.messages))
        It is sunny. 4
        """
        loop = ToolLoop(prompt, tools, max_rounds, on_tool_error, options, output=output)
        while not loop.is_finished:
            loop.receive(self.request(loop.messages, **loop.options()))
            loop.send_results([loop.run_call(call) for call in loop.calls])
        return loop.result

    def batch(
        self,
        requests: Iterable[Prompt | BatchRequest],
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        **options: Unpack[RequestOptions],
    ) -> list[AIResponse[Any] | AIError]:
        """Send many requests, at most `max_in_flight` at once. Returns the responses in the order of the requests.

        A request is a prompt, or a dict with `prompt` and its own options. One that fails has its error in place of a
        response; the others continue. Raises TypeError for an unknown option before anything is sent.

        >>> ai.batch(["[[reply: One.]]", {"prompt": "[[reply: Two.]]", "temperature": 0.5}])
        [AIResponse(provider='mock', ..., content='One.'), AIResponse(provider='mock', ..., content='Two.')]
        """
        items = read_batch(requests, options, max_in_flight)

        def send(item: BatchItem) -> AIResponse[Any] | AIError:
            try:
                return self.request(item.prompt, **item.options)
            except AIError as error:
                return error

        executor = ThreadPoolExecutor(max_in_flight, thread_name_prefix="aimanager-batch")
        try:
            return list(executor.map(send, items))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)  # after an interrupt, calls in flight end on their own

    def embed(self, inputs: str | Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """Return one vector per text, in the same order. EmbedOptions lists the options.

        Fails as a whole if one text fails. Retried like `request`, and not billed twice. Raises AIError.

        >>> len(ai.embed(["sun", "moon"], model="mock/mock-embedding"))
        2
        """
        return self._channel.call(embed(inputs, options, self._settings.defaults))

    def suggest_model(self, provider: str, required_capabilities: Sequence[str]) -> str:
        """Return the id of the provider's best model with all these capabilities, such as vision or reasoning.

        Raises InvalidRequestError, naming the missing capabilities, if no model has them.

        >>> ai.suggest_model("mock", ["vision"]).startswith("mock/")
        True
        """
        return self.models.suggest_model(provider, required_capabilities)

    @property
    def stubs(self) -> Stubs:
        """Generated stubs, for direct access to the API. Their calls do not send the client's token or key."""
        return self._channel.stubs

    def close(self) -> None:
        """Close the channel. Calls in flight raise AIError with reason CANCELLED. Idempotent.

        >>> AIManager.gateway("127.0.0.1:50051").close()
        """
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
