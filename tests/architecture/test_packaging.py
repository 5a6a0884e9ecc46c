"""What is installed is what was committed: the files of wheel and sdist, the metadata, and what an import does."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib
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


PROBE = """
import sys
EFFECTS = "socket. _thread.start subprocess. os.fork os.posix_spawn os.exec os.system urllib. http.".split()
effects = []
sys.addaudithook(lambda event, _: effects.append(event) if event.startswith(tuple(EFFECTS)) else None)
import importlib, os, pkgutil, threading
def load(name):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
{statement}
tasks = "/proc/self/task"  # includes the threads of C code
print(effects, threading.active_count(), len(os.listdir(tasks)) if os.path.exists(tasks) else 1)
"""
"""A program that reports what a statement does to its surroundings: sockets, processes, then its number of threads."""


def built(source: Path, folder: Path, target: str) -> Path:
    """Build a distribution as pip would."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    build = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    return next(path for path in folder.iterdir() if path.suffix in {".whl", ".gz"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return built(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(["tar", "-xf", str(built(ROOT, folder, "sdist")), "-C", str(folder)], check=True)
    return next(path for path in folder.iterdir() if path.is_dir())


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


def tracked(*paths: str) -> set[str]:
    """Return the files that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *paths], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return set(listed.stdout.split("\0")) - {""}


def test_the_wheel_holds_the_tracked_files_of_the_two_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {path for path in archive.namelist() if ".dist-info/" not in path}
        described = {path.partition(".dist-info/")[2] for path in archive.namelist()} - {""}
    committed = {
        path.removeprefix(f"{source.relative_to(ROOT).as_posix()}/")
        for package, source in SOURCES.items()
        for path in tracked((source / package).relative_to(ROOT).as_posix())
    }

    assert packed == committed, "every file must be added to git"
    assert {"aimanager/py.typed", "aimanager_server/py.typed", "aimanager_server/catalog/catalog.toml"} <= packed
    assert described == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert not [path for path in packed if path.endswith(".pth")]


def test_the_sdist_holds_the_tracked_files_that_it_includes_and_nothing_else(sdist: Path) -> None:
    packed = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = [path.removeprefix("/") for path in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]]

    assert packed == tracked(*included, "pyproject.toml", ".gitignore") | {"PKG-INFO"}, (
        "every file must be added to git"
    )


def test_a_wheel_is_the_same_if_it_is_built_again_from_the_sdist(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    again = built(sdist, tmp_path, "wheel")

    assert (again.name, again.read_bytes()) == (wheel.name, wheel.read_bytes())


def effects_of(statement: str) -> str:
    """Return what a statement did, in a process of its own."""
    program = PROBE.format(statement=statement)
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("package", SOURCES)
def test_importing_every_module_opens_no_socket_and_starts_no_thread_or_process(package: str) -> None:
    assert effects_of(f"load('{package}')") == "[] 1 1"


def test_a_socket_and_a_thread_would_be_noticed() -> None:
    thread = "threading.Thread(target=threading.Event().wait, daemon=True).start()"

    assert re.match(r"\['socket.__new__'.*\] 2 ", effects_of(f"import socket; socket.socket().close(); {thread}"))


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
