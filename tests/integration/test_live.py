"""`make live` without API keys, and with a provider on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO

import pytest

from tests.live.run import api_key_variables, run
from tests.support.aimock import aimock, reason_to_skip
from tests.support.paths import ROOT

NO_KEYS = {"PYTHONPATH": os.pathsep.join(sys.path)}
PROGRAM = ROOT / "tests" / "live" / "run.py"


def test_without_keys_every_provider_is_skipped() -> None:
    done = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, timeout=60, env=NO_KEYS)

    skipped = [f"{name}: skipped: {names[0]} is not set" for name, names in api_key_variables().items()]
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == skipped


@pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
async def test_a_provider_with_a_key_is_called() -> None:
    out = StringIO()

    with aimock() as upstream:
        succeeded = await run({"DEEPSEEK_API_KEY": "sk-live", "DEEPSEEK_BASE_URL": f"{upstream.url}/v1"}, out)

    assert succeeded
    assert "deepseek: deepseek-flash: " in out.getvalue()


async def test_a_failed_call_is_reported_with_its_solution() -> None:
    out = StringIO()

    succeeded = await run({"DEEPSEEK_API_KEY": "sk-live", "DEEPSEEK_BASE_URL": "http://127.0.0.1:1/v1"}, out)

    assert not succeeded
    assert "deepseek: failed: PROVIDER_UNREACHABLE: " in out.getvalue()
    assert "Solution: " in out.getvalue()
