"""The `aimanager-server` command: arguments, settings and output."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aimanager_server.commands.main import main
from aimanager_server.config.loader import ConfigSource, load
from aimanager_server.config.report import settings_report
from aimanager_server.config.settings import Settings
from aimanager_server.core import errors
from aimanager_server.core.errors import all_errors
from tests.support.paths import ROOT

SERVER = ROOT / "server"
CANARY = "canary7f3e"


class FakeServe:
    """Records the settings it would serve with."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.settings = Settings()
        self.quickstart = False

    def __call__(self, settings: Settings, source: ConfigSource, quickstart: bool) -> int:
        self.settings, self.quickstart = settings, quickstart
        return self.status


@pytest.mark.parametrize("command", [[], ["serve"]])
def test_serve_is_the_default_command(command: list[str], tmp_path: Path) -> None:
    serve = FakeServe(status=3)

    code = main([*command, "--listen", "localhost:1", "--quickstart"], {"XDG_STATE_HOME": str(tmp_path)}, serve)

    assert (code, serve.settings.server.listen, serve.quickstart) == (3, "localhost:1", True)


def test_only_the_quickstart_adds_the_mock_provider_and_a_database(tmp_path: Path) -> None:
    serve, environment = FakeServe(), {"XDG_STATE_HOME": str(tmp_path)}

    main(["--quickstart"], environment, serve)
    assert serve.settings.providers["mock"].enabled
    assert serve.settings.storage.plain_url == f"sqlite+aiosqlite:///{tmp_path}/aimanager/conversations.db"
    main(
        ["--quickstart", "--set", "providers.mock.enabled=false", "--set", "storage.url=sqlite+aiosqlite:///a"],
        environment,
        serve,
    )
    assert not serve.settings.providers["mock"].enabled
    assert serve.settings.storage.plain_url == "sqlite+aiosqlite:///a"
    main([], environment, serve)
    assert "mock" not in serve.settings.providers
    assert serve.settings.storage.url is None


def test_no_arguments_run_serve() -> None:
    serve = FakeServe()

    assert main([], {}, serve) == 0
    assert (serve.settings, serve.quickstart) == (Settings(), False)


def test_every_flag_sets_its_setting() -> None:
    serve = FakeServe()

    main(
        [
            *("--listen", "0.0.0.0:1", "--health-listen", "[::]:2", "--metrics-listen", "off", "--reflection"),
            *(
                "--allow-anonymous",
                "--default-model",
                "mock/echo",
                "--log-level",
                "debug",
                "--set",
                "retry.max_attempts=2",
            ),
        ],
        {},
        serve,
    )

    values = serve.settings.server.model_dump(exclude_unset=True)
    assert values == {
        "listen": "0.0.0.0:1",
        "health_listen": "[::]:2",
        "metrics_listen": None,
        "reflection": True,
        "allow_anonymous": True,
        "default_model": "mock/echo",
        "log_level": "debug",
    }
    assert serve.settings.retry.max_attempts == 2


def test_the_last_assignment_wins_and_a_flag_takes_precedence() -> None:
    serve = FakeServe()

    main(
        [
            "--set=retry.max_attempts=2",
            "--set=retry.max_attempts=4",
            "--set=server.log_level=error",
            "--log-level=debug",
        ],
        {},
        serve,
    )

    assert (serve.settings.retry.max_attempts, serve.settings.server.log_level) == (4, "debug")


def test_lists_are_assigned_as_json() -> None:
    serve = FakeServe()

    main(["--set", 'providers.mock.models=["a", "b"]'], {}, serve)

    assert serve.settings.providers["mock"].models == ["a", "b"]


@pytest.mark.parametrize("chosen", ["argument", "variable", "directory"])
def test_the_config_file_is_found(chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / ("aimanager.toml" if chosen == "directory" else "other.toml")
    named.write_text("[retry]\nmax_attempts = 7\n")
    monkeypatch.chdir(tmp_path)
    serve = FakeServe()

    environment = {"argument": {"AIMANAGER_CONFIG": "/nowhere"}, "variable": {"AIMANAGER_CONFIG": str(named)}}
    main(["--config", str(named)] if chosen == "argument" else [], environment.get(chosen, {}), serve)

    assert serve.settings.retry.max_attempts == 7


def test_invalid_settings_are_reported_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--listen", "nowhere", "--config", ""], {"AIMANAGER_RETRY__MAX_ATTEMPTS": "many"}, FakeServe())

    assert code == 2
    assert capsys.readouterr().err == (
        "aimanager-server: Invalid settings:\n"
        "- server.listen (argument): must be HOST:PORT, such as 127.0.0.1:50051 or [::]:50051\n"
        "- retry.max_attempts (environment:AIMANAGER_RETRY__MAX_ATTEMPTS): must be an integer\n"
    )


def test_a_missing_config_file_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "/nowhere.toml"], {}, FakeServe()) == 2
    assert "config (file:/nowhere.toml): cannot read the file (No such file or directory)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["cofnig"], "unknown command; did you mean config?"),
        ([CANARY], "unknown command; must be one of serve, config, storage, token, errors"),
        (["--api-key", CANARY], "unknown argument: --api-key; see --help"),
        ([f"--api-key={CANARY}"], "unknown argument: --api-key; see --help"),
        (["serve", CANARY], "unexpected positional argument; see --help"),
        (["--lis", CANARY], "unknown argument: --lis"),
        (["--listen"], "argument --listen: expected one argument"),
        (["--set", CANARY], "argument --set: must be KEY=VALUE, such as retry.max_attempts=2"),
        (["--set", f"server..listen={CANARY}"], "argument --set: must be KEY=VALUE"),
        (
            ["--set", f"providers.claude.api_key={CANARY}"],
            "argument --set: secrets must not be passed on the command line",
        ),
        (
            ["--set", f"providers.claude.headers.x={CANARY}"],
            "argument --set: secrets must not be passed on the command line",
        ),
    ],
)
def test_invalid_arguments_are_rejected_without_showing_their_values(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments, {}, FakeServe())

    message = capsys.readouterr().err
    assert caught.value.code == 2
    assert message.startswith(f"aimanager-server: {text}")
    assert CANARY not in message


def test_config_prints_every_value_with_its_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "a.toml"
    config.write_text("[retry]\nmax_attempts = 7\n")

    code = main(
        ["config", "--config", str(config), "--listen", "localhost:1"],
        {"OPENAI_API_KEY": CANARY, "AIMANAGER_SERVER__LOG_LEVEL": "debug"},
    )

    lines = [re.sub(r" +# ", " # ", line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    for line in (
        'listen = "localhost:1" # argument',
        f"max_attempts = 7 # file:{config}",
        'log_level = "debug" # environment:AIMANAGER_SERVER__LOG_LEVEL',
        'api_key = "••••" # environment:OPENAI_API_KEY',
        'base_url = "https://api.deepseek.com" # provider default',
        "accept_caller_keys = true # default",
        "# tls is not set # default",
    ):
        assert line in lines


def test_config_prints_valid_toml_with_masked_secrets(tmp_path: Path) -> None:
    settings = {
        "server": {"metrics_listen": "off", "default_model": 'a"\\\n'},
        "providers": {
            "mock": {
                "keys": [{"api_key": CANARY, "weight": 2}],
                "headers": {"x": "y"},
                "options": {"a b": [1, True, {"c": 1.5, "token": CANARY}]},
            }
        },
        "tiers": {"free": {"requests_per_minute": 1, "providers": {"mock": {"tokens_per_minute": 2}}}},
        "callers": {"a": {"tokens": [{"id": "k1", "sha256": "ab" * 32, "expires": "2027-01-31T00:00:00Z"}]}},
    }

    shown = tomllib.loads(settings_report(load(settings, None, {})))

    mock = shown["providers"]["mock"]
    assert mock["keys"] == [{"api_key": "••••", "weight": 2}]
    assert mock["headers"] == {"x": "••••"}
    assert mock["options"] == {"a b": [1, True, {"c": 1.5, "token": "••••"}]}
    assert shown["server"]["default_model"] == 'a"\\\n'
    assert shown["server"]["metrics_listen"] == "off"
    assert shown["tiers"]["free"]["providers"] == {"mock": {"tokens_per_minute": 2}}
    tokens = [{"id": "k1", "sha256": "••••", "expires": datetime(2027, 1, 31, tzinfo=UTC)}]
    assert shown["callers"]["a"] == {"tokens": tokens, "certificate_names": [], "tier": "free", "role": "caller"}


def test_config_prints_the_sample(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--sample"], {}) == 0
    assert capsys.readouterr().out == (SERVER / "aimanager_server/config/sample.toml").read_text("utf-8")


def test_errors_prints_a_row_for_every_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["errors"], {}) == 0

    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    reasons = [error.spec.reason for error in all_errors() if error.__module__ == errors.__name__]
    assert [row.split("`")[1] for row in rows] == reasons
    assert {row.replace("\\|", "").count("|") for row in rows} == {9}


def test_a_missing_package_is_named_with_the_command_that_installs_it(capsys: pytest.CaptureFixture[str]) -> None:
    def serve(settings: Settings, source: ConfigSource, quickstart: bool) -> int:
        raise ModuleNotFoundError("No module named 'httptools'", name="httptools")

    assert main([], {}, serve) == 1
    assert capsys.readouterr().err == (
        "aimanager-server: missing package httptools; install the server with: pip install 'aimanager[server]'\n"
    )


@pytest.mark.parametrize("name", ["aimanager_server.nowhere", "aimanager.v1"])
def test_a_missing_module_of_the_server_itself_raises(name: str) -> None:
    def serve(settings: Settings, source: ConfigSource, quickstart: bool) -> int:
        raise ModuleNotFoundError("gone", name=name)

    with pytest.raises(ModuleNotFoundError):
        main([], {}, serve)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"], {})

    assert not caught.value.code
    assert capsys.readouterr().out.startswith("aimanager ")
