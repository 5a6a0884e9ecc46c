"""A request in a conversation, whose options are set one by one before it is sent once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, overload

from ._convert.conversations import with_files
from ._convert.output_format import Output, OutputType
from ._convert.prompt import Prompt
from .errors import InvalidRequestError
from .messages import AttachmentSource, ReasoningOptions, Tool
from .options import OnInterruption, ReasoningEffort, RequestOptions
from .stream import AIStream, AsyncAIStream
from .types.response import AIResponse, Parsed

if TYPE_CHECKING:
    from .async_conversation import AsyncConversation
    from .conversation import Conversation

Value = TypeVar("Value")


class RequestBuilder:
    """What ChainableRequest and AsyncChainableRequest share: the prompt and the options."""

    def __init__(self, prompt: Prompt, options: RequestOptions) -> None:
        self._prompt = prompt
        self._options: RequestOptions = {**options}
        self._files: list[AttachmentSource] = []
        self._is_sent = False

    def with_temperature(self, temperature: float) -> Self:
        """Set the sampling temperature, 0.0 to 2.0.

        >>> print(ai.conversation().request("[[reply: Hi.]]").with_temperature(0.5).send())
        Hi.
        """
        self._options["temperature"] = temperature
        return self

    def with_reasoning(self, reasoning: ReasoningEffort | bool | ReasoningOptions = True) -> Self:
        """Set the reasoning effort: a word, True for medium or False for none.

        >>> print(ai.conversation().request("[[reply: Hi.]]").with_reasoning("low").send())
        Hi.
        """
        self._options["reasoning"] = reasoning
        return self

    def with_model(self, model: str) -> Self:
        """Set the model of this request; that of the conversation stays as it is.

        >>> ai.conversation().request("Hi").with_model("mock/fast").send().model
        'mock-small'
        """
        self._options["model"] = model
        return self

    def with_max_tokens(self, max_tokens: int) -> Self:
        """Limit the length of the response.

        >>> ai.conversation().request("[[words: 9]]").with_max_tokens(2).send().finish_reason
        'max_tokens'
        """
        self._options["max_tokens"] = max_tokens
        return self

    def with_tools(self, tools: Sequence[Tool | Callable[..., Any]] | Tool | Callable[..., Any]) -> Self:
        """Set the tools that the model may call: functions, or tools from `tool`. Send their results as the next turn.

        >>> from aimanager import tool_result
        >>> def weather(city: str) -> str:
        ...     "Return the weather."
        >>> conversation = ai.conversation()
        >>> prompt = '[[tool: weather {"city": "Rome"}]]'
        >>> call, = conversation.request(prompt).with_tools(weather).send().tool_calls
        >>> print(conversation.request([tool_result(call, "Sunny."), "[[reply: It is sunny.]]"]).send())
        It is sunny.
        """
        self._options["tools"] = tools
        return self

    def with_cache_hint(self, lifetime: Literal["short", "long"]) -> Self:
        """Ask the provider to keep the conversation in its prompt cache for its default time, or for its longest.

        >>> print(ai.conversation().request("[[reply: Hi.]]").with_cache_hint("long").send())
        Hi.
        """
        self._options["cache_hint"] = lifetime
        return self

    def attach_file(self, file: AttachmentSource) -> Self:
        """Attach a file: a path, an https URL, bytes or an Attachment. Paths are read when the request is sent.

        >>> print(ai.conversation().request("[[reply: A table.]]").attach_file(b"a,b").send())
        A table.
        """
        self._files.append(file)
        return self

    def _take(self) -> RequestOptions:
        """Return the options, once."""
        if self._is_sent:
            raise InvalidRequestError(
                "This request was sent already", "Call conversation.request(…) for each request that you send."
            )
        self._is_sent = True
        return with_files(self._options, after=self._files)


class ChainableRequest(RequestBuilder, Generic[Parsed]):
    """A request in a conversation. `send` or `stream` sends it, once.

    >>> conversation = ai.conversation()
    >>> print(conversation.request("[[reply: Hello.]]").with_temperature(0.8).with_model("mock/fast").send())
    Hello.
    """

    def __init__(self, conversation: Conversation, prompt: Prompt, options: RequestOptions | None = None) -> None:
        super().__init__(prompt, options or {})
        self._conversation = conversation

    @overload
    def with_output(self, output: OutputType[Value]) -> ChainableRequest[Value]: ...
    @overload
    def with_output(self, output: Output) -> ChainableRequest[Any]: ...
    def with_output(self, output: Any) -> ChainableRequest[Any]:
        """Request structured output of this type, which `AIResponse.parsed` returns.

        >>> ai.conversation().request('[[reply: {"result": [1, 2]}]]').with_output(list[int]).send().parsed
        [1, 2]
        """
        self._options["output"] = output
        return self

    def send(self) -> AIResponse[Parsed]:
        """Send the request and return the response, when both are in the conversation.

        Retried like AIManager.request, without adding a second turn. Raises InvalidRequestError if the request was sent
        already, ConversationBusyError while another call adds to the conversation, and other AIErrors.

        >>> print(ai.conversation().request("[[reply: Hello.]]").send())
        Hello.
        """
        return self._conversation._send(self._prompt, self._take())

    def stream(self, *, on_interruption: OnInterruption = "restart") -> AIStream[Parsed]:
        """Stream the response like AIManager.stream. The turn is in the conversation when the stream has ended.

        If the stream is left early or fails after the first content, the turn is kept and marked as interrupted.

        >>> print(*ai.conversation().request("[[reply: Roses are red.]]").stream().text)
        Roses  are  red.
        """
        return self._conversation._stream(self._prompt, self._take(), on_interruption)


class AsyncChainableRequest(RequestBuilder, Generic[Parsed]):
    """The asyncio version of ChainableRequest. `send` is awaited; `stream` is not.

    >>> import asyncio
    >>> from aimanager import AsyncAIManager
    >>> async def ask() -> str:
    ...     async with AsyncAIManager.gateway(target) as ai:
    ...         conversation = await ai.conversation()
    ...         return str(await conversation.request("[[reply: Hello.]]").with_temperature(0.8).send())
    >>> asyncio.run(ask())
    'Hello.'
    """

    def __init__(self, conversation: AsyncConversation, prompt: Prompt, options: RequestOptions | None = None) -> None:
        super().__init__(prompt, options or {})
        self._conversation = conversation

    @overload
    def with_output(self, output: OutputType[Value]) -> AsyncChainableRequest[Value]: ...
    @overload
    def with_output(self, output: Output) -> AsyncChainableRequest[Any]: ...
    def with_output(self, output: Any) -> AsyncChainableRequest[Any]:
        """Request structured output of this type, which `AIResponse.parsed` returns."""
        self._options["output"] = output
        return self

    async def send(self) -> AIResponse[Parsed]:
        """Send the request and return the response, when both are in the conversation, like ChainableRequest.send."""
        return await self._conversation._send(self._prompt, self._take())

    def stream(self, *, on_interruption: OnInterruption = "restart") -> AsyncAIStream[Parsed]:
        """Stream the response, like ChainableRequest.stream. The first read sends the request."""
        return self._conversation._stream(self._prompt, self._take(), on_interruption)
