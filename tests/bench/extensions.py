"""The CPU time that the layer of extensions adds to a call, measured around a handler that answers at once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from prometheus_client import CollectorRegistry

from aimanager_server.config.extensions import ExtensionSettings
from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.handler import CallHandler, compose
from aimanager_server.core.request import Call, Caller, GenerateParams, Target
from aimanager_server.core.response import Finished, FinishReason, PartCompleted, ResponseMetadata
from aimanager_server.core.stream import ResponseStream
from aimanager_server.extensions import ExtensionCall, ExtensionRequest, ExtensionResponse, FeatureExtension
from aimanager_server.extensions.runner import ExtensionRunner
from aimanager_server.pipeline.extensions import RunExtensions
from aimanager_server.telemetry.extension_metrics import ExtensionMetrics

CALLS = 2000
MESSAGES = (Message(Role.USER, (Text("Write a hundred words."),)),)
CALL = Call(
    "call", Caller("bench"), "bench/m", MESSAGES, (Target("bench", "m"),), 1e12, params=GenerateParams(MESSAGES)
)


class SeesRequest:
    """Sees the request, and changes nothing."""

    name = "do-nothing"
    api_version = 1

    async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> None:
        """Change nothing."""


class Watches(SeesRequest):
    """Sees the answer too, and may not change it."""

    only_watches = True

    async def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> None:
        """Change nothing."""


class MayChange(SeesRequest):
    """Sees the answer too, and might change it."""

    async def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> None:
        """Change nothing."""


class MayChangeDicts(FeatureExtension):
    """May change both, as dicts."""

    def get_feature_name(self) -> str:
        """Return the name."""
        return "do-nothing"

    def process_request(self, request_data: dict[str, Any]) -> dict[str, Any]:
        """Change nothing."""
        return request_data

    def process_response(self, response_data: dict[str, Any]) -> dict[str, Any]:
        """Change nothing."""
        return response_data


def microseconds_with(
    *extensions: Any, run_in: Literal["event_loop", "thread"] = "event_loop"
) -> Callable[[object], Awaitable[float]]:
    """Return the measurement of a call that passes these extensions, without them that of the handler alone."""

    async def measure(_: object) -> float:
        metrics, settings = ExtensionMetrics(CollectorRegistry()), ExtensionSettings(run_in=run_in)
        runners = [ExtensionRunner(extension, settings, metrics) for extension in extensions]
        handler = _handler(runners)
        await _run(handler, CALLS // 10)
        before = time.process_time()
        await _run(handler, CALLS)
        spent = time.process_time() - before
        for runner in runners:
            await runner.aclose()
        return spent / CALLS * 1e6

    return measure


def _handler(runners: Sequence[ExtensionRunner]) -> CallHandler:
    layers = [RunExtensions(runners, lambda call, params: call, _valid, max_bytes=1000)] if runners else []
    return compose(layers, _answer)


async def _run(handler: CallHandler, calls: int) -> None:
    for _ in range(calls):
        await (await handler(CALL)).result()


async def _answer(call: Call) -> ResponseStream:
    metadata = ResponseMetadata(call.id, call.requested_model, "bench", "m")
    return ResponseStream.of(metadata, [PartCompleted(0, Text("Hello")), Finished(FinishReason.STOP)])


async def _valid(call: Call, text: str) -> str:
    return text
