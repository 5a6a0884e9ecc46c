"""`aimanager-server token` prints a new token and its table."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from aimanager_server.commands.main import main
from aimanager_server.config.loader import load


def test_the_token_goes_to_stdout_and_its_table_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["token", "team-a", "--expires", "2099-01-31"], {})

    token, table = capsys.readouterr()
    assert (code, bool(re.fullmatch(r"aim_[0-9a-f]{8}_[0-9a-f]{64}\n", token))) == (0, True)
    assert tomllib.loads(table)["callers"]["team-a"]["tokens"] == [
        {
            "id": token.split("_")[1],
            "sha256": sha256(token.strip().encode()).hexdigest(),
            "expires": datetime(2099, 1, 31, tzinfo=UTC),
        }
    ]
    assert token.strip().rpartition("_")[2] not in table


def test_tables_can_be_appended_to_a_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "a.toml"
    config.write_text('[callers.team-a]\ntier = "free"\n\n[tiers.free]\n')

    for _ in range(2):
        main(["token", "team-a"], {})
        with config.open("a") as file:
            file.write(capsys.readouterr().err)

    assert len({token.id for token in load({}, config, {}).settings.callers["team-a"].tokens}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Team A"], "NAME must be 1 to 63 lowercase letters, digits, '-' and '_'"),
        (["team-a", "--expires", "tomorrow"], "--expires must be a date such as 2027-01-31"),
        (["team-a", "--expires", "2020-01-31"], "--expires must be in the future"),
    ],
)
def test_an_invalid_name_or_expiry_is_rejected(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", *arguments], {}) == 2
    assert capsys.readouterr() == ("", f"aimanager-server: {message}\n")
