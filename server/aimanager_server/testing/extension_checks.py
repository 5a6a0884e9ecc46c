"""Checks for authors of extensions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from ..config.extensions import ExtensionSettings
from ..config.settings import Limits
from ..core.content import Message, Role, Text
from ..core.conversation import ConversationTurn
from ..core.errors import ExtensionFailed, GatewayError
from ..core.handler import compose
from ..core.request import Call, Caller, GenerateParams, Target
from ..core.response import Event, Finished, FinishReason, PartCompleted, ResponseMetadata, TextDelta
from ..core.stream import ResponseStream
from ..core.usage import Usage, UsageSource
from ..extensions.api import Extension, extension_problems
from ..extensions.runner import ExtensionRunner
from ..pipeline.extensions import RunExtensions
from ..telemetry.extension_metrics import ExtensionMetrics

MAX_BLOCKED_SECONDS = 0.1
"""How long an extension may keep the event loop busy in one call. CPU time, so that a busy machine does not count."""


async def check_extension(extension: Extension, *, prompt: str = "Say hello.", answer: str = "Hello.") -> None:
    """Raise AssertionError with everything the gateway would reject about an extension, for one prompt and its answer.

    It sees a unary call, a stream, and a call with a history. An error of the gateway with which it refuses the prompt
    or the answer is no problem.

    Example: `asyncio.run(check_extension(MyExtension(), prompt="My card is 4111 1111 1111 1111"))`
    """
    problems = list(extension_problems(extension))
    if not problems:
        problems = await _problems_of_calls(extension, prompt, answer)
    if problems:
        raise AssertionError(
            "\n".join(["The extension does not meet the gateway's requirements:", *(f"- {one}" for one in problems)])
        )


async def _problems_of_calls(extension: Extension, prompt: str, answer: str) -> list[str]:
    problems: dict[str, None] = {}
    runner = ExtensionRunner(extension, ExtensionSettings(), ExtensionMetrics(CollectorRegistry()))
    for call in _calls(prompt):
        blocked_before = time.thread_time()
        try:
            await _run(runner, call, answer)
        except ExtensionFailed as error:
            problems[error.message] = None
        except GatewayError:
            pass  # a refusal
        if time.thread_time() - blocked_before > MAX_BLOCKED_SECONDS:
            problems[f"it keeps the event loop busy for more than {MAX_BLOCKED_SECONDS:g} s"] = None
    await runner.aclose()
    return list(problems)


async def _run(runner: ExtensionRunner, call: Call, answer: str) -> None:
    async def respond(call: Call) -> ResponseStream:
        metadata = ResponseMetadata(call.id, call.requested_model, *call.target.key)
        usage = Usage(3, 2, source=UsageSource.REPORTED)
        events: list[Event] = [PartCompleted(0, Text(answer)), Finished(FinishReason.STOP, "stop", usage)]
        if call.streaming:
            events.insert(0, TextDelta(0, answer))
        return ResponseStream.of(metadata, events)

    def resolve(call: Call, params: GenerateParams) -> Call:
        return call

    async def validate(call: Call, text: str) -> str:
        return text

    layer = RunExtensions([runner], resolve, validate, Limits().max_message_bytes)
    stream = await compose([layer], respond)(call)
    await stream.result()


def _calls(prompt: str) -> Sequence[Call]:
    messages = (Message(Role.USER, (Text(prompt),)),)
    history = (Message(Role.USER, (Text("Hi."),)), Message(Role.ASSISTANT, (Text("Hi."),), "mock", "mock-large"))
    turn = ConversationTurn("check", 1, len(history), (0,))
    deadline = asyncio.get_running_loop().time() + 60.0
    return [
        Call(
            "check", Caller("check"), "mock/latest", (*before, *messages), (Target("mock", "mock-large"),), deadline,
            streaming=streaming, turn=turn if before else None, params=GenerateParams((*before, *messages)),
        )
        for before, streaming in (((), False), ((), True), (history, False))
    ]  # fmt: skip
