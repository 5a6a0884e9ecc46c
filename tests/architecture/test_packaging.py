"""What is installed is what was written: the wheel's files, its metadata, and what the client alone needs."""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SOURCES = {"aimanager_server": ROOT / "server", "aimanager": ROOT / "clients/python"}
CLIENT_NEEDS = ("grpc", "google", "typing_extensions")
"""What pip installs with the bare client, as import names."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as pip would build it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """The wheel's METADATA."""
    return Parser().parsestr(described(wheel, "METADATA"))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of the wheel and what a client install brings along, and of nothing else."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for name in CLIENT_NEEDS:
        spec = find_spec(name)
        assert spec is not None
        source = Path(
            next(iter(spec.submodule_search_locations or ())) if spec.submodule_search_locations else spec.origin or ""
        )
        (site / source.name).symlink_to(source)
    return site


def described(wheel: Path, name: str) -> str:
    """One file of the wheel's dist-info."""
    with zipfile.ZipFile(wheel) as archive:
        [path] = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def alone(site: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where only the site and the standard library can be imported."""
    command = [
        sys.executable,
        "-I",
        "-S",
        "-W",
        "error",
        "-c",
        f"import sys; sys.path.insert(0, {str(site)!r}); {code}",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {path for path in archive.namelist() if ".dist-info/" not in path}
    written = {
        path.relative_to(source).as_posix()
        for package, source in SOURCES.items()
        for path in (source / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert packed == written
    assert {"aimanager/py.typed", "aimanager_server/py.typed", "aimanager_server/catalog/catalog.toml"} <= packed


def test_a_client_install_needs_three_packages(metadata: Message) -> None:
    needs = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]

    assert sorted(need.split(">")[0].split("<")[0] for need in needs) == [
        "googleapis-common-protos",
        "grpcio",
        "protobuf",
    ]


def test_the_metadata_says_license_and_python(metadata: Message) -> None:
    assert metadata["Name"] == "aimanager"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload()


def test_every_console_script_leads_somewhere(wheel: Path) -> None:
    entries = configparser.ConfigParser()
    entries.read_string(described(wheel, "entry_points.txt"))

    for target in entries["console_scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(import_module(module), function))


def test_the_server_without_its_extra_says_what_to_install(bare: Path) -> None:
    result = alone(bare, "from aimanager_server.commands.main import main; sys.exit(main(['serve']))")

    assert result.returncode == 1
    assert "pip install 'aimanager[server]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_client_loads_with_what_it_needs_alone(bare: Path) -> None:
    result = alone(bare, "from aimanager import AIManager, AsyncAIManager; print(AIManager.__name__)")

    assert (result.stdout.strip(), result.stderr) == ("AIManager", "")
