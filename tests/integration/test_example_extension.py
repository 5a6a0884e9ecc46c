"""The example package of extensions, installed by pip, and a server whose configuration names them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aimanager import AIManager, ConfigurationError
from tests.integration.test_example_plugin import bound_port, environment, installed, server_process
from tests.support.extensions import Tagging
from tests.support.paths import ROOT

CONFIG = """
[server]
listen = "127.0.0.1:0"
metrics_listen = "off"
drain_delay_seconds = 0.0

[providers.mock]

[extensions]
enabled = ["{name}", "sign"]

[extensions.settings.{name}]
options = {{ words = ["Project Nightjar"] }}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, built and installed by pip."""
    return installed(ROOT / "tests" / "example_extension", tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("streaming", [False, True])
def test_an_installed_package_adds_extensions(site: Path, tmp_path: Path, streaming: bool) -> None:
    prompt = "[[reply: I know nothing of [REDACTED 1].]] What is Project Nightjar?"

    with (
        server_process(site, tmp_path, CONFIG.format(name="redact")) as process,
        AIManager.gateway(f"127.0.0.1:{bound_port(process)}", model="mock/mock-large") as ai,
    ):
        answer = ai.stream(prompt).complete() if streaming else ai.request(prompt)
        echoed = ai.request("project nightjar").content

    assert answer.content == "I know nothing of Project Nightjar.\n(mock-large)"
    assert 'You said: "project nightjar"' in echoed


def test_an_unknown_extension_prevents_startup(site: Path, tmp_path: Path) -> None:
    with server_process(site, tmp_path, CONFIG.format(name="readct")) as process:
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "extension 'readct': not found in any installed package; did you mean 'redact'?" in output


def test_an_extension_that_cannot_be_created_prevents_startup(site: Path, tmp_path: Path) -> None:
    config = CONFIG.format(name="redact").replace("words", "wrods")
    with server_process(site, tmp_path, config) as process:
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "extension 'redact': import from aimanager-redact 0.1.0 failed: KeyError: 'words'" in output


def test_the_author_can_check_the_extensions(site: Path) -> None:
    script = (
        "import asyncio\n"
        "from aimanager_server.testing import check_extension\n"
        "from aimanager_redact import Redact, Sign\n"
        "for extension in (Redact({'words': ['hello']}), Sign()):\n"
        "    asyncio.run(check_extension(extension))\n"
        "print('ready')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(site), capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.stdout, done.stderr) == ("ready\n", "")


def test_a_program_passes_extensions_to_the_server_in_its_process() -> None:
    with AIManager.embedded(provider="mock", extensions=[Tagging("first"), Tagging("second")]) as ai:
        answer = ai.request("Hi").content

    assert 'You said: "Hi +first +second"' in answer
    assert answer.endswith(" -second -first")


def test_an_object_that_is_no_extension_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="api_version must be 1, got None"):
        AIManager.embedded(provider="mock", extensions=[object()])
