"""Reads the rows of catalog.toml, strictly: a typing error must not become a wrong price or a refused request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, get_args

from ..core.content import Effort, ReasoningOptions, Sampling
from .model import Alias, Capability, EmbeddingFacts, Level, Model, Prices, Rates, Retired, Support, Thinking

Row = Mapping[str, Any]

NANOS = 1_000_000_000

ELSEWHERE = ("chat_completions",)
"""Wires under whose name a row tells what differs there."""

EFFORTS = {effort.label: effort for effort in Effort}

SAMPLING = frozenset(field.name for field in fields(Sampling))


@dataclass(frozen=True, slots=True)
class Rows:
    """A whole file."""

    models: tuple[Model, ...]
    aliases: tuple[Alias, ...]
    retired: tuple[Retired, ...]


def rows_of(document: Row) -> Rows:
    """The rows of a parsed file, in its order. Raises ValueError naming the row and the key that cannot be used."""
    _refuse_unknown(document, {"meaning", "family", "model", "alias", "retired"}, "catalogue")
    families = document.get("family", {})
    models = tuple(model_of(row, families) for row in document.get("model", ()))
    aliases = tuple(_alias(row, document.get("meaning", {})) for row in document.get("alias", ()))
    retired = tuple(model for row in document.get("retired", ()) for model in _retired(row))
    return Rows(models, aliases, retired)


def model_of(row: Row, families: Mapping[str, Row]) -> Model:
    """One model, with what it inherits from its family and that family's own."""
    name = f"model {row.get('id', '?')!r}"
    merged = _inherited(row, families, name)
    prices = merged.pop("prices", None)
    other: Row = {key: merged.pop(key) for key in ("long_context", "off_peak", "later") if key in merged}
    elsewhere = {wire: merged.pop(wire) for wire in ELSEWHERE if wire in merged}
    _need(merged, {"provider", "id", "checked", "source"}, name)
    facts = _facts(merged, name)
    if elsewhere:
        facts["elsewhere"] = {wire: _facts(row, f"{name}: {wire}") for wire, row in elsewhere.items()}
    if prices is not None:
        facts["prices"] = _read(lambda value: _prices(value, other), prices, f"{name}: prices")
    return Model(**facts)


def _facts(row: Row, where: str) -> dict[str, Any]:
    _refuse_unknown(row, FIELDS.keys(), where)
    return {key: _read(FIELDS[key], value, f"{where}: {key}") for key, value in row.items()}


def _inherited(row: Row, families: Mapping[str, Row], name: str) -> dict[str, Any]:
    merged = dict(row)
    parent = merged.pop("family", None)
    if parent is None:
        return merged
    if parent not in families:
        raise ValueError(f"{name}: there is no family {parent!r}")
    above = _inherited(families[parent], families, f"family {parent!r}")
    joined = {key: {**above.get(key, {}), **merged.get(key, {})} for key in ("capabilities", *ELSEWHERE)}
    return {**above, **merged, **{key: row for key, row in joined.items() if row}}


def _read(reader: Callable[[Any], Any], value: Any, where: str) -> Any:
    try:
        return reader(value)
    except (ValueError, TypeError, KeyError, InvalidOperation) as error:
        raise ValueError(f"{where}: {value!r} cannot be used ({error})") from error


def _refuse_unknown(row: Row, known: Set[str], where: str) -> None:
    unknown = sorted(set(row) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}, known are {', '.join(sorted(known))}")


def _need(row: Row, needed: Set[str], where: str) -> None:
    missing = sorted(needed - row.keys())
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} missing")


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"not a {kind.__name__}")
        return value

    return read


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_exactly(str), _exactly(list)(value)))


def _one_of(*accepted: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in accepted:
            raise ValueError(f"accepted are {', '.join(accepted)}")
        return str(value)

    return read


def _set_of(accepted: frozenset[str]) -> Callable[[Any], frozenset[str]]:
    one = _one_of(*sorted(accepted))
    return lambda value: frozenset(map(one, _texts(value)))


def _effort(value: Any) -> Effort:
    return EFFORTS[value]


def _efforts(value: Any) -> tuple[Effort, ...]:
    return tuple(sorted(map(_effort, _texts(value)), key=lambda effort: effort.value))


def _capabilities(value: Row) -> Mapping[Capability, Support]:
    return MappingProxyType({Capability(name): _support(support) for name, support in value.items()})


def _support(value: Any) -> Support:
    if isinstance(value, str):
        return Support(Level(value))
    _refuse_unknown(value, {"level", "note"}, "support")
    return Support(Level(value["level"]), value.get("note", ""))


def _embedding(value: Row) -> EmbeddingFacts:
    _refuse_unknown(value, {each.name for each in fields(EmbeddingFacts)}, "embedding")
    how = _one_of("none", "field", "prefix")
    said: dict[str, Any] = {key: how(fact) if key == "purpose" else NUMBER(fact) for key, fact in value.items()}
    return EmbeddingFacts(**said)


def _nanos(dollars: Any) -> int:
    """Dollars, written as a string so that they stay exact, in billionths."""
    nanos = Decimal(_exactly(str)(dollars)) * NANOS
    if nanos < 0 or nanos != int(nanos):
        raise ValueError("not a whole number of billionths")
    return int(nanos)


def _times(nanos: int, factor: str) -> int:
    product = nanos * Decimal(factor)
    if product != int(product):
        raise ValueError(f"{nanos} × {factor} is not a whole number of billionths")
    return int(product)


def _prices(value: Row, other: Row) -> Prices:
    standard = _rates(value, set())
    match list(other.items()):
        case []:
            return Prices(standard)
        case [("off_peak", factor)]:
            return Prices(standard, off_peak=_scaled(standard, factor, factor))
        case [("later", later)]:
            return Prices(standard, later=_rates(later, {"from"}), later_from=DAY(later["from"]))
        case [("long_context", long_context)]:
            _refuse_unknown(long_context, {"above", "input", "output"}, "long_context")
            long = _scaled(standard, long_context["input"], long_context["output"])
            return Prices(standard, long=long, long_above=NUMBER(long_context["above"]))
        case _:
            raise ValueError(f"{' and '.join(other)} together are not provided for")


def _rates(value: Row, beside: Set[str]) -> Rates:
    _refuse_unknown(value, {"input", "output", "cache_read", "cache_write", *beside}, "prices")
    plain = _nanos(value["input"])
    return Rates(
        input=plain,
        output=_nanos(value["output"]),
        cache_read=_nanos(value["cache_read"]) if "cache_read" in value else plain,
        cache_write=_nanos(value["cache_write"]) if "cache_write" in value else plain,
    )


def _scaled(rates: Rates, sent: str, produced: str) -> Rates:
    return Rates(
        input=_times(rates.input, sent),
        output=_times(rates.output, produced),
        cache_read=_times(rates.cache_read, sent),
        cache_write=_times(rates.cache_write, sent),
    )


def _alias(row: Row, meanings: Row) -> Alias:
    where = f"alias {row.get('provider')}/{row.get('name')}"
    _refuse_unknown(row, {"provider", "name", "model", "since", "effort"}, where)
    _need(row, {"provider", "name", "model", "since"}, where)
    effort = _read(_effort, row["effort"], where) if "effort" in row else None
    meaning = _read(meanings.__getitem__, row["name"], where)
    since = _read(_exactly(date), row["since"], where)
    return Alias(row["provider"], row["name"], row["model"], meaning, since, reasoning=ReasoningOptions(effort=effort))


def _retired(row: Row) -> Iterator[Retired]:
    where = f"retired {row.get('ids')}"
    _refuse_unknown(row, {"provider", "ids", "on", "replacement"}, where)
    _need(row, {"provider", "ids", "replacement"}, where)
    on = _read(_exactly(date), row["on"], where) if "on" in row else None
    for model_id in _read(_texts, row["ids"], where):
        yield Retired(row["provider"], model_id, on, row["replacement"])


TEXT, NUMBER, FLAG, DAY = _exactly(str), _exactly(int), _exactly(bool), _exactly(date)

FIELDS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        **dict.fromkeys(("provider", "id", "name", "note", "source", "sampling_version"), TEXT),
        **dict.fromkeys(("context_window", "max_input", "max_output", "least_output", "least_budget"), NUMBER),
        **dict.fromkeys(("most_stop_sequences", "most_strict_tools"), NUMBER),
        **dict.fromkeys(("temperature_or_top_p", "blank_stop_sequences", "shows_reasoning", "prefill"), FLAG),
        **dict.fromkeys(("forced_tools", "forced_tools_while_reasoning", "strict_tools"), FLAG),
        "tools_while_reasoning": FLAG,
        **dict.fromkeys(("released", "retires", "checked"), DAY),
        **dict.fromkeys(("sampling", "sampling_while_reasoning"), _set_of(SAMPLING)),
        "also": _texts,
        "capabilities": _capabilities,
        "highest_temperature": _exactly(float),
        "thinking": _one_of(*get_args(Thinking)),
        "efforts": _efforts,
        "default_effort": _effort,
        "embedding": _embedding,
        "linked": _set_of(frozenset(("image", "document"))),
        "wire": _one_of("chat_completions", "responses"),
    }
)
"""What a row may say, and how each is read; prices are read together."""
