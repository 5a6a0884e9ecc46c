"""What `aimanager-server` does with its arguments, run as its users run it where it matters."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from aimanager_server.commands.main import main
from aimanager_server.config.loader import load
from aimanager_server.config.report import report
from aimanager_server.config.settings import Settings
from aimanager_server.core import errors
from aimanager_server.core.errors import all_errors
from tests.support.paths import ROOT

SERVER = ROOT / "server"
CANARY = "canary7f3e"


class Served:
    """Stands for the server: keeps what it was started with."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.settings = Settings()
        self.hints = False

    def __call__(self, settings: Settings, hints: bool) -> int:
        self.settings, self.hints = settings, hints
        return self.code


@pytest.mark.parametrize("command", [[], ["serve"]])
def test_serve_is_the_default_command(command: list[str]) -> None:
    served = Served(code=3)

    code = main([*command, "--listen", "localhost:1", "--hints"], {}, served)

    assert (code, served.settings.server.listen, served.hints) == (3, "localhost:1", True)


def test_no_arguments_at_all_serve() -> None:
    served = Served()

    assert main([], {}, served) == 0
    assert (served.settings, served.hints) == (Settings(), False)


def test_every_flag_sets_its_setting() -> None:
    served = Served()

    main(
        [
            *("--listen", "0.0.0.0:1", "--health-listen", "[::]:2", "--metrics-listen", "off", "--reflection"),
            *("--allow-anonymous", "--default-model", "mock/echo", "--log-level", "debug", "--set", "retry.attempts=2"),
        ],
        {},
        served,
    )

    said = served.settings.server.model_dump(exclude_unset=True)
    assert said == {
        "listen": "0.0.0.0:1",
        "health_listen": "[::]:2",
        "metrics_listen": None,
        "reflection": True,
        "allow_anonymous": True,
        "default_model": "mock/echo",
        "log_level": "debug",
    }
    assert served.settings.retry.attempts == 2


def test_the_last_of_several_assignments_wins_and_a_flag_beats_them() -> None:
    served = Served()

    main(
        ["--set=retry.attempts=2", "--set=retry.attempts=4", "--set=server.log_level=error", "--log-level=debug"],
        {},
        served,
    )

    assert (served.settings.retry.attempts, served.settings.server.log_level) == (4, "debug")


def test_an_assignment_of_a_table_is_json() -> None:
    served = Served()

    main(["--set", 'providers.mock.models=["a", "b"]'], {}, served)

    assert served.settings.providers["mock"].models == ["a", "b"]


@pytest.mark.parametrize("chosen", ["argument", "variable", "directory"])
def test_the_config_file_is_found(chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / ("aimanager.toml" if chosen == "directory" else "other.toml")
    named.write_text("[retry]\nattempts = 7\n")
    monkeypatch.chdir(tmp_path)
    served = Served()

    environment = {"argument": {"AIMANAGER_CONFIG": "/nowhere"}, "variable": {"AIMANAGER_CONFIG": str(named)}}
    main(["--config", str(named)] if chosen == "argument" else [], environment.get(chosen, {}), served)

    assert served.settings.retry.attempts == 7


def test_unusable_settings_are_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--listen", "nowhere", "--config", ""], {"AIMANAGER_RETRY__ATTEMPTS": "many"}, Served())

    assert code == 2
    assert capsys.readouterr().err == (
        "aimanager-server: The settings cannot be used:\n"
        "- server.listen (argument): is not an address; accepted is host:port, such as 127.0.0.1:50051 or [::]:50051\n"
        "- retry.attempts (environment:AIMANAGER_RETRY__ATTEMPTS): accepted is a whole number\n"
    )


def test_a_missing_config_file_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "/nowhere.toml"], {}, Served()) == 2
    assert "config (file:/nowhere.toml): cannot be read (No such file or directory)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["cofnig"], "no such command; accepted: config"),
        ([CANARY], "no such command; accepted: serve, config, errors"),
        (["--api-key", CANARY], "no such argument: --api-key; --help"),
        ([f"--api-key={CANARY}"], "no such argument: --api-key; --help"),
        (["serve", CANARY], "no such argument: one without a name"),
        (["--lis", CANARY], "no such argument: --lis"),
        (["--listen"], "argument --listen: expected one argument"),
        (["--set", CANARY], "argument --set: accepted is KEY=VALUE, such as retry.attempts=2"),
        (["--set", f"server..listen={CANARY}"], "argument --set: accepted is KEY=VALUE"),
        (["--set", f"providers.claude.api_key={CANARY}"], "argument --set: a key on the command line can be read"),
        (["--set", f"providers.claude.headers.x={CANARY}"], "argument --set: a key on the command line can be read"),
    ],
)
def test_arguments_that_fit_nowhere_are_refused_without_their_values(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments, {}, Served())

    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert said.startswith(f"aimanager-server: {text}")
    assert CANARY not in said


def test_config_prints_every_value_with_its_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "a.toml"
    config.write_text("[retry]\nattempts = 7\n")

    code = main(
        ["config", "--config", str(config), "--listen", "localhost:1"],
        {"OPENAI_API_KEY": CANARY, "AIMANAGER_SERVER__LOG_LEVEL": "debug"},
    )

    lines = [re.sub(r" +# ", " # ", line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    for line in (
        'listen = "localhost:1" # argument',
        f"attempts = 7 # file:{config}",
        'log_level = "debug" # environment:AIMANAGER_SERVER__LOG_LEVEL',
        'api_key = "••••" # environment:OPENAI_API_KEY',
        'base_url = "https://api.deepseek.com" # provider default',
        "caller_keys = true # default",
        "# tls is not set # default",
    ):
        assert line in lines


def test_config_prints_toml_that_says_the_same(tmp_path: Path) -> None:
    said = {
        "server": {"metrics_listen": "off", "default_model": 'a"\\\n'},
        "providers": {
            "mock": {
                "keys": [{"api_key": CANARY, "weight": 2}],
                "headers": {"x": "y"},
                "options": {"a b": [1, True, {"c": 1.5, "token": CANARY}]},
            }
        },
        "tiers": {"free": {"requests_per_minute": 1, "providers": {"mock": {"tokens_per_minute": 2}}}},
        "callers": {"a": {"token_sha256": "ab" * 32}},
    }

    shown = tomllib.loads(report(load(said, None, {})))

    mock = shown["providers"]["mock"]
    assert mock["keys"] == [{"api_key": "••••", "weight": 2}]
    assert mock["headers"] == {"x": "••••"}
    assert mock["options"] == {"a b": [1, True, {"c": 1.5, "token": "••••"}]}
    assert shown["server"]["default_model"] == 'a"\\\n'
    assert shown["server"]["metrics_listen"] == "off"
    assert shown["tiers"]["free"]["providers"] == {"mock": {"tokens_per_minute": 2}}
    assert shown["callers"]["a"] == {"token_sha256": "••••", "tier": "free"}


def test_config_prints_the_sample(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--sample"], {}) == 0
    assert capsys.readouterr().out == (SERVER / "aimanager_server/config/sample.toml").read_text("utf-8")


def test_errors_prints_a_row_for_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["errors"], {}) == 0

    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    reasons = [fault.spec.reason for fault in all_errors() if fault.__module__ == errors.__name__]
    assert [row.split("`")[1] for row in rows] == reasons
    assert {row.replace("\\|", "").count("|") for row in rows} == {9}


def test_a_missing_package_is_named_with_what_installs_it(capsys: pytest.CaptureFixture[str]) -> None:
    def serve(settings: Settings, hints: bool) -> int:
        raise ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")

    assert main([], {}, serve) == 1
    assert capsys.readouterr().err == (
        "aimanager-server: aiohttp is missing; install the server with: pip install 'aimanager[server]'\n"
    )


@pytest.mark.parametrize("name", ["aimanager_server.nowhere", "aimanager.v1"])
def test_a_missing_module_of_our_own_is_a_bug_and_shows_as_one(name: str) -> None:
    def serve(settings: Settings, hints: bool) -> int:
        raise ModuleNotFoundError("gone", name=name)

    with pytest.raises(ModuleNotFoundError):
        main([], {}, serve)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"], {})

    assert not caught.value.code
    assert capsys.readouterr().out.startswith("aimanager ")
