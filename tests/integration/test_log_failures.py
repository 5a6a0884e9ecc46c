"""No call fails or waits because of the log: a full or closed stderr, and what native code writes to it."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.certificates import Certificates
from tests.support.server_process import ServerProcess, server_process

CALL_SECONDS = 5.0
CANARY = "canary7f3e"
REQUEST = generation_pb2.GenerateRequest(
    model="mock/mock-large",
    messages=[{"role": "ROLE_USER", "parts": [{"text": "[[words: 1]]"}]}],  # type: ignore[list-item]
)
PIPE_BYTES = 4096

CRASHES = {
    "abort": "os.abort()",
    "segmentation fault": "ctypes.string_at(0)",
    "fatal error of the interpreter": "ctypes.pythonapi.Py_FatalError(b'the last words')",
    "native text": "os.write(2, b'the last words'); os.kill(os.getpid(), signal.SIGKILL)",
    "exception": "raise RuntimeError('the last words')",
}
CRASH_SCRIPT = """
import ctypes, faulthandler, os, signal
from aimanager_server.telemetry.stderr_capture import StderrCapture
with StderrCapture("info", (), 20_000):
    faulthandler.enable(2)
    {crash}
"""


def call(channel: grpc.Channel) -> None:
    GenerationServiceStub(channel).Generate(REQUEST, timeout=CALL_SECONDS)


def dropped_lines(server: ServerProcess) -> int:
    [count] = re.findall(r"^aimanager_dropped_log_lines_total (\d+)", server.metrics(), re.MULTILINE)
    return int(count)


def fail_handshakes(server: ServerProcess, count: int) -> None:
    """Open connections without TLS, for each of which gRPC's core logs a line."""
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", server.port), timeout=CALL_SECONDS) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with suppress(ConnectionResetError):
                connection.recv(1)


def tls_arguments(certificates: Certificates) -> list[str]:
    return [f"--set=server.tls.{name}={value}" for name, value in certificates.tls.items()]


def test_calls_succeed_after_the_reader_of_the_log_is_gone() -> None:
    with server_process() as server, grpc.insecure_channel(server.target) as channel:
        server.close_log()

        for _ in range(50):
            call(channel)

        assert server.stop() == 0


def test_calls_succeed_while_nothing_reads_the_log_and_lost_lines_are_counted() -> None:
    with server_process("--log-level=debug") as server, grpc.insecure_channel(server.target) as channel:
        fcntl.fcntl(server.log, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        for _ in range(15):
            for _ in range(100):
                call(channel)
            if dropped_lines(server) > 10:
                break
        dropped = dropped_lines(server)
        lines = server.lines()
        while (line := next(lines))["event"] != "log_lines.dropped":
            pass

        call(channel)
        later = next(lines)

        assert line["count"] >= dropped > 10
        assert later["event"] == "request.completed"


def test_a_server_whose_log_is_blocked_exits() -> None:
    with server_process("--log-level=debug") as server, grpc.insecure_channel(server.target) as channel:
        fcntl.fcntl(server.log, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        for _ in range(50):
            call(channel)

        assert server.stop() == 0


def test_lines_of_grpcs_core_never_block_calls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    credentials = grpc.ssl_channel_credentials(certificates.ca.cert_pem.bytes())
    with server_process(*tls_arguments(certificates)) as server:
        fcntl.fcntl(server.log, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

        fail_handshakes(server, 700)  # about 140 KB, more than the pipe in place of stderr holds

        with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
            call(channel)
        assert server.stop() == 0


def test_lines_of_grpcs_core_are_json(tmp_path: Path) -> None:
    with server_process(*tls_arguments(Certificates(tmp_path))) as server:
        fail_handshakes(server, 1)
        server.process.send_signal(signal.SIGTERM)
        [line] = [line for line in server.lines() if line.get("logger") == "grpc"]

    assert line["level"] == "info"
    assert line["event"].startswith("Handshake failed")
    assert re.fullmatch(r"ssl_transport_security.cc:\d+", line["source"])
    assert list(line) == ["timestamp", "level", "event", "logger", "source"]


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_crash_of_the_server_is_logged_as_json(number: signal.Signals) -> None:
    with server_process() as server:
        status = server.stop(number)
        [line] = list(server.lines())

    assert status == -number
    assert line["level"] == "critical"
    assert re.match(
        "Fatal Python error: (Aborted|Segmentation fault)\n\n.*most recent call first", line["event"], re.DOTALL
    )


@pytest.mark.parametrize("crash", CRASHES)
def test_the_last_words_of_a_crash_reach_stderr(crash: str) -> None:
    script = CRASH_SCRIPT.format(crash=CRASHES[crash])

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

    assert done.returncode != 0
    if crash == "exception":
        assert "RuntimeError: the last words" in done.stderr
    else:
        [line] = map(json.loads, done.stderr.splitlines())
        assert "Fatal Python error" in line["event"] or line["event"] == "the last words"


def test_a_token_that_grpc_traces_is_redacted() -> None:
    tracing = {"GRPC_TRACE": "all", "GRPC_VERBOSITY": "debug"}
    metadata = (("authorization", f"Bearer {CANARY}"), ("x-provider-key-claude", CANARY), ("cookie", f"id={CANARY}"))
    with server_process(environment=tracing) as server:
        with grpc.insecure_channel(server.target) as channel:
            GenerationServiceStub(channel).Generate(REQUEST, metadata=metadata, timeout=CALL_SECONDS)
        server.process.send_signal(signal.SIGTERM)
        events = [line["event"] for line in server.lines() if line.get("logger") == "grpc"]

    assert any("x-provider-key-claude" in event for event in events)
    assert [event for event in events if CANARY in event] == []
