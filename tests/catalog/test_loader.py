"""Parsing catalog.toml: inheritance, prices, and errors that name the row."""

from __future__ import annotations

import tomllib
from pathlib import Path

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.loader import parse_catalog
from aimanager_server.catalog.model import Capability, Rates, SupportLevel

ROW = """
[alias_description]
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

INVALID = {
    "colour = 1": "unknown key 'colour'",
    'thinking = "often"': "must be one of unknown, none, always",
    'efforts = ["huge"]': "model 'llama': efforts",
    'default_effort = "huge"': "model 'llama': default_effort",
    'sampling_fields = ["heat"]': "must be one of max_output_tokens",
    "sampling_fields = 3": "must be list",
    "max_output_tokens = true": "must be int",
    "max_output_tokens = 1.5": "must be int",
    "prefill = 1": "must be bool",
    "max_temperature = 1": "must be float",
    'released = "yesterday"': "must be date",
    'url_attachments = ["sound"]': "must be one of document, image",
    'wire = "smoke"': "must be one of chat_completions, responses",
    "chat_completions = { colour = 1 }": "model 'llama': chat_completions: unknown key 'colour'",
    "chat_completions = { sampling_fields = 3 }": "model 'llama': chat_completions: sampling_fields",
    'capabilities = { flying = "native" }': "'flying' is not a valid Capability",
    'capabilities = { streaming = "perhaps" }': "'perhaps' is not a valid SupportLevel",
    'capabilities = { streaming = { level = "none", why = "x" } }': "unknown key 'why'",
    'prices = { input = "1" }': "'output'",
    'prices = { input = 1, output = "1" }': "must be str",
    'prices = { input = "cheap", output = "1" }': "model 'llama': prices",
    'prices = { input = "-1", output = "1" }': "must be a whole, non-negative number of nano-dollars",
    'prices = { input = "0.0000000001", output = "1" }': "must be a whole, non-negative number of nano-dollars",
    'prices = { input = "1", output = "0.000000001" }': "1 × 1.5 is not a whole number of nano-dollars",
    'prices = { input = "1", output = "1", reading = "1" }': "unknown key 'reading'",
    'prices = { input = "1", output = "1" }\noff_peak = "0.5"': "long_context and off_peak cannot be combined",
    'prices = { input = "1", output = "1" }\nscheduled = { from = 2026-12-01 }': "cannot be combined",
    (
        'prices = { input = "1", output = "1" }\nlong_context = { above = 1, output = "1", extra = 1 }'
    ): "unknown key 'extra'",
    '[[model]]\nfamily = "three"\nid = "x"': "unknown family 'three'",
    '[[model]]\nid = "x"\nprovider = "lab"': "missing checked, source",
    '[[alias]]\nprovider = "lab"\nname = "oldest"\nmodel = "llama"\nsince = 2026-11-22': "alias lab/oldest",
    '[[alias]]\nprovider = "lab"\nname = "latest"\nmodel = "llama"\nsince = "now"': "must be date",
    '[[alias]]\nprovider = "lab"\nname = "latest"\nmodell = "llama"': "unknown key 'modell'",
    '[[retired]]\nprovider = "lab"\nids = "a"\nreplacement = "llama"': "must be list",
    '[[retired]]\nprovider = "lab"\nids = ["a"]\nreplaced = "llama"': "unknown key 'replaced'",
    '[[alias]]\nprovider = "lab"\nname = "latest"': "missing model, since",
    '[[retired]]\nids = ["a"]': "missing provider, replacement",
    (
        'prices = { input = "1", output = "1" }\nlong_context = { above = "1", input = "2", output = "2" }'
    ): "must be int",
    "[models]": "unknown key 'models'",
}
"""TOML added to ROW, and words of the error."""


def load(extra: str) -> Catalog:
    data = parse_catalog(tomllib.loads(ROW + extra))
    return Catalog(data.models, data.aliases, data.retired)


def error_of(extra: str) -> str:
    try:
        load(extra)
    except ValueError as error:
        return str(error)
    return "no error"


def test_model_inherits_from_its_family_and_the_family_from_its_own() -> None:
    model = load('capabilities = { tool_calling = { level = "emulated", note = "slow" } }').find("lab", "llama")

    assert model is not None
    assert model.supports(Capability.STREAMING)
    assert model.capabilities[Capability.TOOL_CALLING].level is SupportLevel.EMULATED
    assert model.capabilities[Capability.TOOL_CALLING].note == "slow"
    assert model.prices is None


def test_prices_and_their_multiples_are_exact_integers() -> None:
    model = load('prices = { input = "0.10", output = "0.000000002", cache_read = "0.05" }').find("lab", "llama")

    assert model is not None
    assert model.prices is not None
    assert model.prices.standard == Rates(100_000_000, 2, 50_000_000, 100_000_000, 100_000_000)
    assert model.prices.long_context == Rates(200_000_000, 3, 100_000_000, 200_000_000, 200_000_000)


def test_invalid_rows_raise_errors_that_name_row_and_key() -> None:
    errors = {extra: error_of(extra) for extra in INVALID}

    assert {extra: error for extra, error in errors.items() if INVALID[extra] not in error} == {}


def test_catalog_is_loaded_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(ROW, "utf-8")

    assert [model.id for model in Catalog.load(file).models()] == ["llama"]
