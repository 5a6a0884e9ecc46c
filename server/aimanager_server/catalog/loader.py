"""Parse catalog.toml strictly: a typing error must not become a wrong price or a rejected request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, get_args

from ..core.content import Effort, ReasoningOptions, Sampling
from .model import (
    Alias,
    CacheKeyField,
    Capability,
    EmbeddingSpec,
    Model,
    Prices,
    PromptCacheSpec,
    Rates,
    RetiredModel,
    Support,
    SupportLevel,
    ThinkingMode,
)

Table = Mapping[str, Any]
"""A parsed TOML table."""

NANOS_PER_DOLLAR = 1_000_000_000

WIRE_TABLES = ("chat_completions",)
"""Keys of a model's table that hold the facts that differ on that wire."""

EFFORTS = MappingProxyType({effort.label: effort for effort in Effort})

SAMPLING_FIELDS = frozenset(field.name for field in fields(Sampling))


@dataclass(frozen=True, slots=True)
class CatalogData:
    """The content of a catalog file."""

    models: tuple[Model, ...]
    aliases: tuple[Alias, ...]
    retired: tuple[RetiredModel, ...]


def parse_catalog(document: Table) -> CatalogData:
    """Return the content of a parsed file, in its order. Raises ValueError naming the table and the invalid key."""
    _reject_unknown_keys(document, {"alias_description", "family", "model", "alias", "retired"}, "catalog")
    families = document.get("family", {})
    models = tuple(parse_model(table, families) for table in document.get("model", ()))
    aliases = tuple(_alias(table, document.get("alias_description", {})) for table in document.get("alias", ()))
    retired = tuple(model for table in document.get("retired", ()) for model in _retired(table))
    return CatalogData(models, aliases, retired)


def parse_model(table: Table, families: Mapping[str, Table]) -> Model:
    """Return one model, with the facts it inherits from its family and that family's own family."""
    name = f"model {table.get('id', '?')!r}"
    merged = _with_inherited(table, families, name)
    prices = merged.pop("prices", None)
    other_prices: Table = {key: merged.pop(key) for key in ("long_context", "off_peak", "scheduled") if key in merged}
    wire_overrides = {wire: merged.pop(wire) for wire in WIRE_TABLES if wire in merged}
    _require_keys(merged, {"provider", "id", "checked", "source"}, name)
    facts = _facts(merged, name)
    if wire_overrides:
        facts["wire_overrides"] = {wire: _facts(own, f"{name}: {wire}") for wire, own in wire_overrides.items()}
    if prices is not None:
        cache = facts.get("prompt_cache")
        factor = None if cache is None else cache.long_write_factor
        facts["prices"] = _parse(lambda value: _prices(value, other_prices, factor), prices, f"{name}: prices")
    return Model(**facts)


def _facts(table: Table, location: str) -> dict[str, Any]:
    _reject_unknown_keys(table, MODEL_FIELDS.keys(), location)
    return {key: _parse(MODEL_FIELDS[key], value, f"{location}: {key}") for key, value in table.items()}


def _with_inherited(table: Table, families: Mapping[str, Table], name: str) -> dict[str, Any]:
    own = dict(table)
    parent = own.pop("family", None)
    if parent is None:
        return own
    if parent not in families:
        raise ValueError(f"{name}: unknown family {parent!r}")
    inherited = _with_inherited(families[parent], families, f"family {parent!r}")
    nested = {
        key: {**inherited.get(key, {}), **own.get(key, {})} for key in ("capabilities", "prompt_cache", *WIRE_TABLES)
    }
    return {**inherited, **own, **{key: merged for key, merged in nested.items() if merged}}


def _parse(parser: Callable[[Any], Any], value: Any, location: str) -> Any:
    try:
        return parser(value)
    except (ValueError, TypeError, KeyError, InvalidOperation) as error:
        raise ValueError(f"{location}: invalid value {value!r} ({error})") from error


def _reject_unknown_keys(table: Table, known: Set[str], location: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(f"{location}: unknown key {unknown[0]!r}; accepted keys: {', '.join(sorted(known))}")


def _require_keys(table: Table, required: Set[str], location: str) -> None:
    missing = sorted(required - table.keys())
    if missing:
        raise ValueError(f"{location}: missing {', '.join(missing)}")


def _exactly(kind: type) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"must be {kind.__name__}")
        return value

    return parse


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(map(_exactly(str), _exactly(list)(value)))


def _one_of(*accepted: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in accepted:
            raise ValueError(f"must be one of {', '.join(accepted)}")
        return str(value)

    return parse


def _set_of(accepted: frozenset[str]) -> Callable[[Any], frozenset[str]]:
    parse_item = _one_of(*sorted(accepted))
    return lambda value: frozenset(map(parse_item, _strings(value)))


def _effort(value: Any) -> Effort:
    return EFFORTS[value]


def _efforts(value: Any) -> tuple[Effort, ...]:
    return tuple(sorted(map(_effort, _strings(value)), key=lambda effort: effort.value))


def _capabilities(table: Table) -> Mapping[Capability, Support]:
    return MappingProxyType({Capability(name): _support(support) for name, support in table.items()})


def _support(value: Any) -> Support:
    if isinstance(value, str):
        return Support(SupportLevel(value))
    _reject_unknown_keys(value, {"level", "note"}, "support")
    return Support(SupportLevel(value["level"]), value.get("note", ""))


def _embedding(table: Table) -> EmbeddingSpec:
    _reject_unknown_keys(table, {field.name for field in fields(EmbeddingSpec)}, "embedding")
    purpose = _one_of("none", "field", "prefix")
    facts: dict[str, Any] = {
        key: purpose(value) if key == "purpose" else INTEGER(value) for key, value in table.items()
    }
    return EmbeddingSpec(**facts)


def _prompt_cache(table: Table) -> PromptCacheSpec:
    parsers: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(("min_tokens", "breakpoints"), INTEGER),
        "source": TEXT,
        "checked": DATE,
        "long_write_factor": lambda value: Decimal(TEXT(value)),
        "key": _one_of(*get_args(CacheKeyField)),
    }
    _reject_unknown_keys(table, parsers.keys(), "prompt_cache")
    return PromptCacheSpec(**{key: parsers[key](value) for key, value in table.items()})


def _nanos(dollars: Any) -> int:
    """Convert dollars, written as a string to stay exact, to nano-dollars."""
    nanos = Decimal(_exactly(str)(dollars)) * NANOS_PER_DOLLAR
    if nanos < 0 or nanos != int(nanos):
        raise ValueError("must be a whole, non-negative number of nano-dollars")
    return int(nanos)


def _multiplied(nanos: int, factor: str | Decimal) -> int:
    product = nanos * Decimal(factor)
    if product != int(product):
        raise ValueError(f"{nanos} × {factor} is not a whole number of nano-dollars")
    return int(product)


def _prices(table: Table, other: Table, long_write: Decimal | None) -> Prices:
    standard = _rates(table, long_write)
    match list(other.items()):
        case []:
            return Prices(standard)
        case [("off_peak", factor)]:
            return Prices(standard, off_peak=_scaled(standard, factor, factor))
        case [("scheduled", scheduled)]:
            return Prices(
                standard, scheduled=_rates(scheduled, long_write, {"from"}), scheduled_from=DATE(scheduled["from"])
            )
        case [("long_context", long_context)]:
            _reject_unknown_keys(long_context, {"above", "input", "output"}, "long_context")
            rates = _scaled(standard, long_context["input"], long_context["output"])
            return Prices(standard, long_context=rates, long_context_above=INTEGER(long_context["above"]))
        case _:
            raise ValueError(f"{' and '.join(other)} cannot be combined")


def _rates(table: Table, long_write: Decimal | None, other_keys: Set[str] = frozenset()) -> Rates:
    _reject_unknown_keys(table, {"input", "output", "cache_read", "cache_write", *other_keys}, "prices")
    uncached = _nanos(table["input"])
    cache_write = _nanos(table["cache_write"]) if "cache_write" in table else uncached
    return Rates(
        input=uncached,
        output=_nanos(table["output"]),
        cache_read=_nanos(table["cache_read"]) if "cache_read" in table else uncached,
        cache_write=cache_write,
        long_cache_write=cache_write if long_write is None else _multiplied(uncached, long_write),
    )


def _scaled(rates: Rates, input_factor: str, output_factor: str) -> Rates:
    return Rates(
        input=_multiplied(rates.input, input_factor),
        output=_multiplied(rates.output, output_factor),
        cache_read=_multiplied(rates.cache_read, input_factor),
        cache_write=_multiplied(rates.cache_write, input_factor),
        long_cache_write=_multiplied(rates.long_cache_write, input_factor),
    )


def _alias(table: Table, descriptions: Table) -> Alias:
    location = f"alias {table.get('provider')}/{table.get('name')}"
    _reject_unknown_keys(table, {"provider", "name", "model", "since", "effort"}, location)
    _require_keys(table, {"provider", "name", "model", "since"}, location)
    effort = _parse(_effort, table["effort"], location) if "effort" in table else None
    return Alias(
        provider=table["provider"],
        name=table["name"],
        model=table["model"],
        description=_parse(descriptions.__getitem__, table["name"], location),
        since=_parse(DATE, table["since"], location),
        reasoning=ReasoningOptions(effort=effort),
    )


def _retired(table: Table) -> Iterator[RetiredModel]:
    location = f"retired {table.get('ids')}"
    _reject_unknown_keys(table, {"provider", "ids", "retired_on", "replacement"}, location)
    _require_keys(table, {"provider", "ids", "replacement"}, location)
    retired_on = _parse(DATE, table["retired_on"], location) if "retired_on" in table else None
    for model_id in _parse(_strings, table["ids"], location):
        yield RetiredModel(table["provider"], model_id, retired_on, table["replacement"])


TEXT, INTEGER, FLAG, DATE = _exactly(str), _exactly(int), _exactly(bool), _exactly(date)

MODEL_FIELDS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        **dict.fromkeys(("provider", "id", "name", "note", "source", "sampling_api_version"), TEXT),
        **dict.fromkeys(("context_window", "max_input_tokens", "max_output_tokens", "min_output_tokens"), INTEGER),
        **dict.fromkeys(("min_budget_tokens", "max_stop_sequences", "max_strict_tools"), INTEGER),
        **dict.fromkeys(("temperature_excludes_top_p", "blank_stop_sequences", "shows_reasoning", "prefill"), FLAG),
        **dict.fromkeys(("forced_tools", "forced_tools_while_reasoning", "strict_tools"), FLAG),
        **dict.fromkeys(("tools_while_reasoning", "native_compaction"), FLAG),
        **dict.fromkeys(("released", "retires", "checked"), DATE),
        **dict.fromkeys(("sampling_fields", "sampling_fields_while_reasoning"), _set_of(SAMPLING_FIELDS)),
        "alternate_ids": _strings,
        "capabilities": _capabilities,
        "max_temperature": _exactly(float),
        "thinking": _one_of(*get_args(ThinkingMode)),
        "efforts": _efforts,
        "default_effort": _effort,
        "embedding": _embedding,
        "prompt_cache": _prompt_cache,
        "url_attachments": _set_of(frozenset(("image", "document"))),
        "wire": _one_of("chat_completions", "responses"),
    }
)
"""Keys of a model's table that become fields of `Model`, with their parsers; prices are parsed together."""
