"""What `make live` does here, where there are no keys, and with a provider that is on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO

import pytest

from tests.live.run import run, variables
from tests.support.aimock import aimock, missing
from tests.support.paths import ROOT

NO_KEYS = {"PYTHONPATH": os.pathsep.join(sys.path)}
PROGRAM = ROOT / "tests" / "live" / "run.py"


def test_without_keys_it_skips_every_provider() -> None:
    done = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, timeout=60, env=NO_KEYS)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name}: skipped: {keys[0]} is not set" for name, keys in variables().items()]


@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
async def test_a_provider_with_a_key_is_asked() -> None:
    out = StringIO()

    with aimock() as upstream:
        good = await run({"DEEPSEEK_API_KEY": "sk-live", "DEEPSEEK_BASE_URL": f"{upstream.url}/v1"}, out)

    assert good
    assert "deepseek: deepseek-flash: " in out.getvalue()


async def test_a_provider_that_fails_is_told_with_what_to_do() -> None:
    out = StringIO()

    good = await run({"DEEPSEEK_API_KEY": "sk-live", "DEEPSEEK_BASE_URL": "http://127.0.0.1:1/v1"}, out)

    assert not good
    assert "deepseek: failed: PROVIDER_UNREACHABLE: " in out.getvalue()
    assert "Solution: " in out.getvalue()
