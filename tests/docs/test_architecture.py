"""docs/architecture.md describes the code as it is."""

from __future__ import annotations

import asyncio
import re
import sys
from types import FrameType
from typing import Any

import grpc
import pytest

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.app import App
from aimanager_server.config.settings import Settings
from aimanager_server.lifecycle import running_server
from tests.docs.documented_values import wrong_values
from tests.docs.import_diagram import with_diagram
from tests.docs.named_code import SOURCES, Step, named_code, undefined
from tests.integration.faults.fault_catalog import responds
from tests.integration.faults.gateway import generate_request
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Upstream
from tests.support.doc_blocks import DOCS
from tests.support.gateway import run_in_thread, settings_with

RUNS = {("architecture.md", "mermaid"): "test_the_import_diagram_is_up_to_date"}

ARCHITECTURE = (DOCS / "architecture.md").read_text("utf-8")
WIRE = "providers/wires/chat_completions/wire.py"
WIRE_METHODS = {
    (WIRE, "ChatCompletionsWire.encode"): ("providers/wires/wire.py", "Wire.encode"),
    (WIRE, "ChatCompletionsWire.decode"): ("providers/wires/wire.py", "Wire.decode"),
    ("providers/wires/stream_reader.py", "EventStreamReader.feed"): ("providers/wires/wire.py", "StreamReader.feed"),
}
"""Methods of the wire that the traced call uses → the interface that the page names."""
NOT_ON_THE_PATH = {
    ("rpc/interceptor_chain.py", "InterceptorChain.registrar"),
    ("app.py", "Pipeline.call_layers"),
    ("app.py", "Pipeline.attempt_layers"),
    ("routing/load_balancing.py", "LoadBalancer"),
    ("routing/options.py", "OptionsNormalizer"),
    ("pipeline/retry_and_fallback.py", "RetryAndFallback.over"),
    ("pipeline/stream_recovery.py", "_Recovery.read"),
    ("resilience/retry_policy.py", "decide"),
    ("core/stream.py", "StreamObserver.on_end"),
}
"""Steps of the page that run at startup or after an error, and classes instead of functions."""


def test_the_import_diagram_is_up_to_date() -> None:
    assert with_diagram(ARCHITECTURE) == ARCHITECTURE, "run 'python -m tests.docs.import_diagram'"


def test_every_package_has_a_row() -> None:
    table = ARCHITECTURE.partition("| package |")[2].partition("\n\n")[0]
    names = set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:])))
    server = SOURCES[0]
    packages = {path.name for path in server.iterdir() if (path / "__init__.py").exists()}

    assert packages | {"app", "embedded", "plugins", "reload", "state"} == names


def test_every_named_file_and_function_exists() -> None:
    named = set(named_code(ARCHITECTURE))

    assert len(named) > 40
    assert undefined(named) == []


@pytest.mark.parametrize(("method", "heading"), [("Generate", "A unary call"), ("StreamGenerate", "A stream")])
def test_a_call_takes_the_documented_path(method: str, heading: str) -> None:
    upstream = Upstream(responds())
    with served_upstreams(upstream):
        first = {"wire": "chat_completions", "base_url": upstream.url, "api_key": "sk-1", "models": ["m"]}
        settings = settings_with(providers={"first": first}, routes={"virtual": {"targets": ["first/m"]}})
        with (
            run_in_thread(lambda stack: stack.enter_async_context(running_server(settings))) as (server, loop),
            grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            called = called_functions(loop)
            send(GenerationServiceStub(channel), method, generate_request("virtual"))
    documented = [step for step in steps(heading) if step not in NOT_ON_THE_PATH]

    assert [step for step in documented if step not in called] == []
    assert sorted(documented, key=called.index) == documented


def test_layers_are_named_in_their_order() -> None:
    pipeline = App(Settings()).components.pipeline
    layers = [type(layer).__name__ for layer in (*pipeline.call_layers, *pipeline.attempt_layers)]
    unary_call = ARCHITECTURE.partition("## A unary call")[2].partition("\n## ")[0]
    in_table = re.findall(r"`pipeline/\w+\.py` `(\w+)\.\w+`", unary_call)

    assert [name for name in in_table if name not in ("RetryAndFallback", "Dispatch")] == layers


def test_interceptors_are_named_in_their_order() -> None:
    in_app = re.search(r"interceptors = \((.*?)\n        \)", (SOURCES[0] / "app.py").read_text("utf-8"), re.DOTALL)
    assert in_app is not None
    names = re.findall(r"^ +(\w+)(?:\(|,)", in_app[1], re.MULTILINE)
    in_table = re.findall(r"`rpc/interceptors/\w+\.py` `(\w+)\.intercept`", ARCHITECTURE)

    assert [name.lower() for name in in_table] == [name.lower() for name in names]


def test_bounds_of_state_are_those_of_the_code() -> None:
    assert wrong_values(ARCHITECTURE) == []


def test_every_store_in_the_metrics_has_a_bound() -> None:
    state = App(Settings()).state
    exported = {
        labels[0] for gauge in (state.metrics.state_entries, state.metrics.state_bytes) for labels in gauge._metrics
    }
    table = ARCHITECTURE.partition("| state |")[2].partition("\n\n")[0]

    assert set(re.findall(r"`(\w+)` \|$", table, re.MULTILINE)) == exported | {"log_lines"}


def send(stub: Any, method: str, request: generation_pb2.GenerateRequest) -> None:
    if method == "Generate":
        stub.Generate(request)
    else:
        list(stub.StreamGenerate(generation_pb2.StreamGenerateRequest(request=request)))


def called_functions(loop: asyncio.AbstractEventLoop) -> list[Step]:
    """Return a list to which the server's functions are added in the order of their first call in the loop's thread."""
    called: list[Step] = []

    def record(frame: FrameType, event: str, argument: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and "/aimanager_server/" in path:
            step = path.partition("/aimanager_server/")[2], frame.f_code.co_qualname
            step = WIRE_METHODS.get(step, step)
            if step not in called:
                called.append(step)

    loop.call_soon_threadsafe(sys.setprofile, record)
    return called


def steps(heading: str) -> list[Step]:
    """Return the functions of a section's table."""
    section = ARCHITECTURE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [step for row in section.splitlines() if row.startswith("|") for step in named_code(row)]
