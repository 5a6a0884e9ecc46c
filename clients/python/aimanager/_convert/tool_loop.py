"""The loop of `run`, without I/O: what to send next, and how to call the tools that the model asked for."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

from ..errors import InvalidRequestError, ToolRoundsExceededError
from ..messages import Attachment, Message, Part, attachment, tool_result, user
from ..options import RequestOptions, RunOptions, request_options
from ..types.response import AIResponse, ToolCall
from ..types.run_result import RunResult
from .function_arguments import convert_arguments
from .output_format import Output
from .prompt import Prompt, read_prompt

MAX_ROUNDS = 10
OnToolError = Literal["report", "raise"]
"""Whether the model learns of a failed tool and may try another way, or `run` raises the error."""


class ToolLoop:
    """The conversation of one `run`. Alternate between `receive` and `send_results` until it is finished."""

    def __init__(
        self,
        prompt: Prompt,
        tools: Sequence[Callable[..., Any]],
        max_rounds: int,
        on_tool_error: OnToolError,
        options: RunOptions,
        *,
        output: Output | None = None,
        accepts_coroutines: bool = False,
    ) -> None:
        if not isinstance(max_rounds, int) or isinstance(max_rounds, bool) or max_rounds < 1:
            raise InvalidRequestError(
                f"max_rounds must be a positive integer, got {max_rounds!r}", f"Omit it for {MAX_ROUNDS}."
            )
        if on_tool_error not in ("report", "raise"):
            raise InvalidRequestError(
                f"on_tool_error must be report or raise, got {on_tool_error!r}",
                "Omit it to report errors to the model.",
            )
        self._functions = _functions(tools, accepts_coroutines=accepts_coroutines)
        given = cast("RequestOptions", {**options, "output": output})
        self._options = dict(request_options("run", given, "max_rounds", "on_tool_error"))
        self._max_rounds = max_rounds
        self._raises = on_tool_error == "raise"
        read = read_prompt(prompt, _files(self._options.pop("attachments", None)))
        if read.system:
            self._options["system"] = read.system
        self.messages: list[Message] = read.messages
        self._responses: list[AIResponse] = []

    @property
    def is_finished(self) -> bool:
        """Whether the last response calls no tool."""
        return bool(self._responses) and not self.calls

    @property
    def calls(self) -> list[ToolCall]:
        """Tool calls of the last response."""
        return self._responses[-1].tool_calls

    @property
    def result(self) -> RunResult:
        """The result of the finished loop."""
        return RunResult(tuple(self.messages), tuple(self._responses))

    def options(self) -> RequestOptions:
        """Return the options of the next request.

        Later rounds do not require a tool again, or the loop would never end, and have idempotency keys of their own.
        """
        options = {**self._options, "tools": list(self._functions.values())}
        if self._responses:
            if options.get("tool_choice") not in (None, "auto", "none"):
                del options["tool_choice"]
            if key := options.get("idempotency_key"):
                options["idempotency_key"] = f"{key}.{len(self._responses)}"
        return cast("RequestOptions", options)

    def receive(self, response: AIResponse) -> None:
        """Add a response. Raises ToolRoundsExceededError if it calls tools once too often."""
        self._responses.append(response)
        self.messages.append(response.message)
        if self.calls and len(self._responses) >= self._max_rounds:
            error = ToolRoundsExceededError(
                f"The model called tools in {self._max_rounds} responses without an answer.",
                "Increase max_rounds, or check what the tools return.",
                provider=response.provider,
                model=response.model,
            )
            error.messages = tuple(self.messages)
            raise error

    def send_results(self, results: Sequence[Part]) -> None:
        """Add the results of the calls of the last response."""
        if results:
            self.messages.append(user(*results))

    def run_call(self, call: ToolCall) -> Part:
        """Run a tool and return its result. Raises its exception if that was chosen."""
        try:
            function, arguments = self._prepared(call)
            return tool_result(call, function(**arguments))
        except Exception as error:
            return self._failed(call, error)

    async def run_call_async(self, call: ToolCall) -> Part:
        """As `run_call`: awaits a coroutine function, and runs another one in a thread."""
        try:
            function, arguments = self._prepared(call)
            if inspect.iscoroutinefunction(function):
                return tool_result(call, await function(**arguments))
            return tool_result(call, await asyncio.to_thread(function, **arguments))
        except Exception as error:
            return self._failed(call, error)

    def _prepared(self, call: ToolCall) -> tuple[Callable[..., Any], Mapping[str, Any]]:
        function = self._functions.get(call.name)
        if function is None:
            raise LookupError(f"unknown tool {call.name!r}; the tools are {', '.join(self._functions)}")
        return function, convert_arguments(function, call.arguments)

    def _failed(self, call: ToolCall, error: Exception) -> Part:
        if self._raises:
            raise error
        return tool_result(call, f"{type(error).__name__}: {error}", is_error=True)


def _files(files: Any) -> list[Attachment]:
    items = files if isinstance(files, Sequence) and not isinstance(files, str | bytes) else [files]
    return [attachment(file) for file in items if file is not None]


def _functions(tools: Any, *, accepts_coroutines: bool) -> dict[str, Callable[..., Any]]:
    functions: dict[str, Callable[..., Any]] = {}
    items = tools if isinstance(tools, Sequence) and not isinstance(tools, str) else [tools]
    for index, function in enumerate(items):
        if not callable(function) or not hasattr(function, "__name__"):
            raise InvalidRequestError(
                f"tools[{index}] must be a function, got {type(function).__name__}",
                "Pass the functions themselves to run(), without tool(); send tools that have none with request().",
            )
        if inspect.iscoroutinefunction(function) and not accepts_coroutines:
            raise InvalidRequestError(
                f"tools[{index}] is a coroutine function, which AIManager cannot await", "Use AsyncAIManager.run()."
            )
        if function.__name__ in functions:
            raise InvalidRequestError(f"two tools are named {function.__name__!r}", "Rename one of them.")
        functions[function.__name__] = function
    return functions
