"""The usage samples of the original design document work, with no server running."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aimanager import AIManager
from tests.support.original_design.samples import SAMPLES
from tests.support.original_design.surroundings import NAMES


@pytest.mark.parametrize("name", SAMPLES)
def test_usage_sample(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [variable for variable in os.environ if variable.endswith("_API_KEY")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "doc.txt").write_text("A document.")
    sample = SAMPLES[name]

    with AIManager("key", provider="mock") as ai:
        names = {**NAMES, "ai": ai, "conversation": ai.conversation()}
        for part, code in (("sample", sample.code), ("check", sample.check)):
            exec(compile(code, f"{name}, {part}", "exec"), names)
