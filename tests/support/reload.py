"""A gateway whose configuration files a test changes while it runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from structlog.testing import capture_logs

from aimanager.v1 import generation_pb2, model_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from aimanager_server.app import App
from aimanager_server.config.loader import ConfigSource
from aimanager_server.extensions import FeatureManager
from aimanager_server.lifecycle import running_app
from aimanager_server.providers.plugins.registry import ProviderRegistry
from aimanager_server.reload import Reloader, ReloadTimings
from aimanager_server.telemetry.redaction import ConfiguredSecrets
from aimanager_server.telemetry.stderr_capture import StderrCapture
from tests.support.metrics import sample_value
from tests.support.rpc import text_of
from tests.support.rpc_errors import failure_of
from tests.support.tokens import bearer

SERVER = """
[providers.mock]
[server]
listen = "127.0.0.1:0"
metrics_listen = "off"
max_event_loop_lag_seconds = 30.0
drain_delay_seconds = 0.0
drain_timeout_seconds = 1.0
"""
"""The section of a gateway on a free port, to which a test may add settings."""

FAST = ReloadTimings(poll=0.005, settle=0.005, max_settle=1.0)
WAIT_SECONDS = 5.0
"""Within this time a change must be in use."""

OUTCOMES = ("config.reloaded", "config.reload_failed")


@dataclass
class LiveGateway:
    """A running gateway, its config file, and what it logged."""

    app: App
    config: Path
    reloader: Reloader
    channel: grpc.aio.Channel
    log: list[MutableMapping[str, Any]]
    _read: int = field(default=0)

    async def reload(self, text: str) -> MutableMapping[str, Any]:
        """Write the config file and return the log entry of the outcome."""
        self.write(text)
        return await self.outcome()

    def write(self, text: str) -> None:
        """Replace the config file at once."""
        new = self.config.with_suffix(".new")
        new.write_text(text)
        new.replace(self.config)

    async def outcome(self) -> MutableMapping[str, Any]:
        """Return the log entry of the next reload."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for entry in self.log[self._read :]:
                    self._read += 1
                    if entry["event"] in OUTCOMES:
                        return entry
                await asyncio.sleep(0.002)

    def entries(self, event: str) -> list[MutableMapping[str, Any]]:
        """Return the log entries of an event."""
        return [entry for entry in self.log if entry["event"] == event]

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        return sample_value(self.app.state.metrics.registry, name, **labels)

    async def ask(
        self, prompt: str = "Hi", model: str = "mock/mock-large", caller: str = "", fallbacks: Sequence[str] = ()
    ) -> str:
        """Return the text of a response."""
        return text_of(await self.generate(prompt, model, caller, fallbacks))

    async def refusal(self, prompt: str = "Hi", model: str = "mock/mock-large", caller: str = "") -> str:
        """Return the reason with which a call is rejected."""
        return (await failure_of(self.generate(prompt, model, caller))).reason

    def generate(
        self, prompt: str = "Hi", model: str = "mock/mock-large", caller: str = "", fallbacks: Sequence[str] = ()
    ) -> Any:
        """Start a call."""
        metadata = bearer(caller) if caller else ()
        stub: Any = GenerationServiceStub(self.channel)
        request = generate_request(prompt, model)
        request.fallback_models.extend(fallbacks)
        return stub.Generate(request, metadata=metadata, timeout=30)

    def stream(self, prompt: str, model: str = "mock/mock-large") -> Any:
        """Start a stream."""
        stub: Any = GenerationServiceStub(self.channel)
        request = generation_pb2.StreamGenerateRequest(request=generate_request(prompt, model))
        return stub.StreamGenerate(request, timeout=30)

    async def model(self, name: str) -> model_pb2.Model:
        """Return a model as the gateway describes it."""
        stub: Any = ModelServiceStub(self.channel)
        response = await stub.GetModel(model_pb2.GetModelRequest(model=name))
        found: model_pb2.Model = response.model
        return found

    @property
    def health(self) -> Any:
        """A stub of HealthService."""
        return HealthServiceStub(self.channel)


def generate_request(prompt: str, model: str) -> generation_pb2.GenerateRequest:
    """A request with one message."""
    message = {"role": "ROLE_USER", "parts": [{"text": prompt}]}
    return generation_pb2.GenerateRequest(model=model, messages=[message])  # type: ignore[list-item]


@asynccontextmanager
async def live_gateway(
    config: Path,
    text: str = "",
    timings: ReloadTimings = FAST,
    credentials: grpc.ChannelCredentials | None = None,
    registry: ProviderRegistry | None = None,
    source: ConfigSource | None = None,
    capture: StderrCapture | None = None,
    features: FeatureManager | None = None,
) -> AsyncIterator[LiveGateway]:
    """Run a gateway with this config file until the block ends; `text`, if any, is written to it first.

    `source` replaces the one that reads the file when it is reloaded. `capture` follows the reloads.
    """
    if text:
        _write(config, text)
    files = ConfigSource({}, config, {})
    with capture_logs() as log:
        settings = files.load().settings
        async with running_app(settings, registry, features=features) as app:
            secrets = ConfiguredSecrets(settings.secrets())
            reloader = Reloader(app, source or files, secrets=secrets, capture=capture, timings=timings)
            reloader.start()
            async with open_channel(app.server.port, credentials) as channel:
                yield LiveGateway(app, config, reloader, channel, log)
            await reloader.aclose()
            await app.server.drain()


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def open_channel(port: int, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Open a channel with connections of its own."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
    if credentials is None:
        return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)
    return grpc.aio.secure_channel(f"localhost:{port}", credentials, options)


def with_settings(text: str, **values: str) -> str:
    """Replace the values of settings in a config file, one line each."""
    for name, value in values.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert count == 1, name
    return text
