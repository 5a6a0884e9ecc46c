"""What a server in the process of its client does to the process, and what a fork does to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables, check=False)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_server_in_process_opens_no_socket() -> None:
    done = run(
        """
import os
from aimanager import AIManager
ai = AIManager("key", provider="mock")
print(ai.request("[[reply: Hi]]"))
descriptors = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
print([os.readlink(path) for path in descriptors if os.path.lexists(path) and "socket" in os.readlink(path)])
"""
    )

    assert (done.stdout, done.stderr) == ("Hi\n[]\n", "")


def test_the_process_keeps_its_signals_logs_and_loop_policy_and_exits() -> None:
    done = run(
        """
import asyncio, logging, signal
def state():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return handlers, logging.root.handlers, logging.root.level, type(asyncio.get_event_loop_policy())
before = state()
from aimanager import AIManager
ai = AIManager("key", provider="mock")
print(ai.request("[[reply: Hi]]"))
try: ai.request("[[error: PROVIDER_ERROR]]")
except Exception as error: print(error.reason)
stream = iter(ai.stream("[[words: 100000]] [[rate: 10]]"))
next(stream)
import structlog
assert state() == before
assert not structlog.is_configured()
"""
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "Hi\nPROVIDER_ERROR\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_is_told_what_to_do() -> None:
    done = run(
        """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork in a process with threads
from aimanager import AIManager, ConfigurationError
early, late = AIManager("key", provider="mock"), AIManager("key", provider="mock")
early.request("Hi")
child = os.fork()
if child == 0:
    try: early.request("Hi")
    except ConfigurationError as error: print(error.solution)
    print(late.request("[[reply: in the child]]"), flush=True)
    early.close()
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(early.request("[[reply: in the parent]]"))
"""
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Create the client after the fork, or make its first call after it.\nin the child\n7\nin the parent\n"
    )


def test_the_server_imports_the_packages_that_decide_whether_it_is_installed() -> None:
    done = run(
        """
import json, sys
before = set(sys.modules)
from aimanager import AIManager
ai = AIManager("key", provider="mock")
ai.request("Hi")
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
    )
    from aimanager.embedded import SERVER_PACKAGES

    assert set(SERVER_PACKAGES) <= set(json.loads(done.stdout))
