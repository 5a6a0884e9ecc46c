"""A typing error in the table is refused, by name, when the table is read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from aimanager_server.catalog.catalog import Capability, Catalogue, Level, Rates
from aimanager_server.catalog.loader import rows_of

ROW = """
[meaning]
latest = "the newest"
[family.one]
provider = "lab"
source = "here"
checked = 2026-11-22
capabilities = { streaming = "native", tool_calling = "none" }
[family.two]
family = "one"
long_context = { above = 100, input = "2", output = "1.5" }
[[model]]
family = "two"
id = "llama"
"""


def read(extra: str) -> Catalogue:
    rows = rows_of(tomllib.loads(ROW + extra))
    return Catalogue(rows.models, rows.aliases, rows.retired)


def test_a_row_inherits_from_its_family_and_the_family_from_its_own() -> None:
    model = read('capabilities = { tool_calling = { level = "emulated", note = "slow" } }').find("lab", "llama")

    assert model is not None
    assert model.can(Capability.STREAMING)
    assert model.capabilities[Capability.TOOL_CALLING].level is Level.EMULATED
    assert model.capabilities[Capability.TOOL_CALLING].note == "slow"
    assert model.prices is None


def test_prices_are_integers_and_their_multiples_exact() -> None:
    model = read('prices = { input = "0.10", output = "0.000000002", cache_read = "0.05" }').find("lab", "llama")

    assert model is not None
    assert model.prices is not None
    assert model.prices.standard == Rates(100_000_000, 2, 50_000_000, 100_000_000)
    assert model.prices.long == Rates(200_000_000, 3, 100_000_000, 200_000_000)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ('thinking = "often"', "accepted are unknown, none, always"),
        ('efforts = ["huge"]', "model 'llama': efforts"),
        ('default_effort = "huge"', "model 'llama': default_effort"),
        ('sampling = ["heat"]', "accepted are max_output_tokens"),
        ("sampling = 3", "not a list"),
        ("max_output = true", "not a int"),
        ("max_output = 1.5", "not a int"),
        ("prefill = 1", "not a bool"),
        ("highest_temperature = 1", "not a float"),
        ('released = "yesterday"', "not a date"),
        ('linked = ["sound"]', "accepted are document, image"),
        ('wire = "smoke"', "accepted are chat_completions, responses"),
        ("chat_completions = { colour = 1 }", "model 'llama': chat_completions: unknown key 'colour'"),
        ("chat_completions = { sampling = 3 }", "model 'llama': chat_completions: sampling"),
        ('capabilities = { flying = "native" }', "'flying' is not a valid Capability"),
        ('capabilities = { streaming = "perhaps" }', "'perhaps' is not a valid Level"),
        ('capabilities = { streaming = { level = "none", why = "x" } }', "unknown key 'why'"),
        ('prices = { input = "1" }', "'output'"),
        ('prices = { input = 1, output = "1" }', "not a str"),
        ('prices = { input = "cheap", output = "1" }', "model 'llama': prices"),
        ('prices = { input = "-1", output = "1" }', "not a whole number of billionths"),
        ('prices = { input = "0.0000000001", output = "1" }', "not a whole number of billionths"),
        ('prices = { input = "1", output = "0.000000001" }', "1 × 1.5 is not a whole number"),
        ('prices = { input = "1", output = "1", reading = "1" }', "unknown key 'reading'"),
        ('prices = { input = "1", output = "1" }\noff_peak = "0.5"', "long_context and off_peak together"),
        ('prices = { input = "1", output = "1" }\nlater = { from = 2026-12-01 }', "together"),
        (
            'prices = { input = "1", output = "1" }\nlong_context = { above = 1, output = "1", extra = 1 }',
            "unknown key 'extra'",
        ),
        ('[[model]]\nfamily = "three"\nid = "x"', "there is no family 'three'"),
        ('[[model]]\nid = "x"\nprovider = "lab"', "checked, source missing"),
        ('[[alias]]\nprovider = "lab"\nname = "oldest"\nmodel = "llama"\nsince = 2026-11-22', "alias lab/oldest"),
        ('[[alias]]\nprovider = "lab"\nname = "latest"\nmodel = "llama"\nsince = "now"', "not a date"),
        ('[[alias]]\nprovider = "lab"\nname = "latest"\nmodell = "llama"', "unknown key 'modell'"),
        ('[[retired]]\nprovider = "lab"\nids = "a"\nreplacement = "llama"', "not a list"),
        ('[[retired]]\nprovider = "lab"\nids = ["a"]\nreplaced = "llama"', "unknown key 'replaced'"),
        ('[[alias]]\nprovider = "lab"\nname = "latest"', "model, since missing"),
        ('[[retired]]\nids = ["a"]', "provider, replacement missing"),
        (
            'prices = { input = "1", output = "1" }\nlong_context = { above = "1", input = "2", output = "2" }',
            "not a int",
        ),
        ("[models]", "unknown key 'models'"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_by_name(extra: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        read(extra)


def test_a_table_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(ROW, "utf-8")

    assert [model.id for model in Catalogue.load(file).models()] == ["llama"]
