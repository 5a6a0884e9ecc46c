"""Generate the tables of docs/configuration.md from the settings and their docstrings."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, MaxLen
from pydantic.fields import FieldInfo

from ...config import callers, models, routes, storage, types
from ...config.provider_defaults import (
    API_KEY_ENV_ALIASES,
    BASE_URL_ENV,
    BUILT_IN_PROVIDERS,
    KNOWN_PROVIDERS,
)
from ...config.settings import Settings
from ...config.types import MIB, Section
from ..main import SERVER_FLAGS
from .markdown import table

TYPE_NAMES: tuple[tuple[object, str], ...] = (
    (types.Seconds, "seconds"),
    (types.Name, "name"),
    (types.ListenAddress, "`HOST:PORT`"),
    (types.Sha256Hex, "64 hexadecimal digits"),
    (types.ReadableFile, "path"),
    (types.CertificateAuthorities, "path"),
    (types.KeyFile, "path"),
    (types.SecretKey, "string, secret"),
    (types.HeaderName, "header name"),
    (types.HeaderValue, "string"),
    (callers.TokenId, "1 to 32 lowercase letters and digits"),
    (callers.CertificateName, "string"),
    (callers.Moment, "date and time"),
    (models.Dollars, "US dollars as a string"),
    (models.ModelName, "`PROVIDER/ID`"),
    (models.CapabilityName, "capability"),
    (routes.ModelReference, "model"),
    (storage.StorageUrl, "URL, secret"),
)
"""Names of types that have their own validation."""

PLAIN_TYPES: Mapping[object, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    Any: "any value",
}


def configuration_parts() -> dict[str, str]:
    """Return the generated parts of docs/configuration.md by name: one table per section, and those of providers."""
    parts = {name: _section_table(name, section) for name, section in sections()}
    flags = ", ".join(f"`--{name.replace('_', '-')}`" for name in SERVER_FLAGS)
    return {**parts, "flags": f"{flags}.\n", "known-providers": _known_providers()}


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Yield the path of every section, such as `server.tls` or `tiers.NAME.providers.NAME`, with its class."""
    for name in Settings.model_fields:
        yield from _sections(name, _hints(Settings)[name])


def field_docstrings(section: type[Section]) -> dict[str, str]:
    """Return the docstring of each field, inherited ones included. Raises ValueError if one has none."""
    found: dict[str, str] = {}
    for owner in reversed(section.__mro__):
        if issubclass(owner, Section) and owner is not Section:
            found.update(_docstrings(owner))
    if missing := [name for name in section.model_fields if name not in found]:
        raise ValueError(f"{section.__name__} has fields without a docstring: {', '.join(missing)}")
    return {name: found[name] for name in section.model_fields}


def _sections(path: str, hint: Any) -> Iterator[tuple[str, type[Section]]]:
    section, suffix = _section_in(hint)
    if section is None:
        return
    path = f"{path}{suffix}"
    yield path, section
    for name, inner in _hints(section).items():
        if name in section.model_fields:
            yield from _sections(f"{path}.{name}", inner)


def _section_in(hint: Any) -> tuple[type[Section] | None, str]:
    """Return the section that a type consists of, and how its table is named in addition to the setting."""
    kind = _unwrapped(hint)
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind, ""
    if get_origin(kind) is dict:
        key, value = get_args(kind)
        placeholder = '"PROVIDER/ID"' if key is models.ModelName else "NAME"
        return _section_in(value)[0], f".{placeholder}"
    return (_section_in(get_args(kind)[0])[0], "") if get_origin(kind) is list else (None, "")


def _section_table(path: str, section: type[Section]) -> str:
    hints, docstrings = _hints(section), field_docstrings(section)
    rows = [
        [f"`{name}`", _type(f"{path}.{name}", hints[name]), _default(path, name, field), docstrings[name]]
        for name, field in section.model_fields.items()
    ]
    return table(["setting", "type", "default", "meaning"], rows)


def _type(path: str, hint: Any) -> str:
    """Return the type in words, with its limits."""
    section, suffix = _section_in(hint)
    if section is not None:
        kind = "list of tables" if get_origin(_unwrapped(hint)) is list else "table"
        title = f"{path}{suffix}"
        return f"[{kind}](#{''.join(letter for letter in title.lower() if letter.isalnum() or letter in '-_')})"
    text = _type_name(hint)
    return f'{text}, or `"off"`' if path.endswith("_listen") and hint is not types.ListenAddress else text


def _type_name(hint: Any) -> str:
    for known, name in TYPE_NAMES:
        if hint is known:
            return name
    if get_origin(hint) is Annotated:
        kind, *metadata = get_args(hint)
        return _type_name(kind) + _limits(metadata)
    if get_origin(hint) in (Union, UnionType):
        return _type_name(next(choice for choice in get_args(hint) if choice is not type(None)))
    if get_origin(hint) is Literal:
        return ", ".join(f'`"{value}"`' for value in get_args(hint))
    if get_origin(hint) is list:
        return f"list of {_plural(_type_name(get_args(hint)[0]))}"
    if get_origin(hint) is dict:
        key, value = map(_type_name, get_args(hint))
        return f"table: {key} → {value}"
    return PLAIN_TYPES[hint]


def _plural(name: str) -> str:
    noun, space, limits = name.partition(" ")
    return f"{noun}s{space}{limits}"


def _limits(metadata: list[Any]) -> str:
    limits: dict[type, Any] = {}
    for item in metadata:
        for limit in item.metadata if isinstance(item, FieldInfo) else ():
            limits[type(limit)] = limit
    low, high, above = limits.get(Ge), limits.get(Le), limits.get(Gt)
    longest = limits.get(MaxLen)
    if low and high:
        return f" {low.ge} to {high.le}"
    if above and high:
        return f" > {above.gt}, ≤ {high.le}"
    if longest:
        return f", at most {longest.max_length}"
    return f" ≥ {low.ge}" if low else ""


def _default(path: str, name: str, field: FieldInfo) -> str:
    text = "required" if field.is_required() else _system_default(name, field)
    depends_on_provider = path == "providers.NAME" and any(name in defaults for defaults in KNOWN_PROVIDERS.values())
    return f"[by provider](#known-providers), else {text}" if depends_on_provider else text


def _system_default(name: str, field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return '`"off"`' if name.endswith("_listen") else "not set"
    if isinstance(value, Section):
        return "`{}`"
    if isinstance(value, int) and name.endswith("_bytes"):
        return f"`{value}` ({value // MIB} MiB)"
    return f"`{json.dumps(value)}`"


def _known_providers() -> str:
    head = ["provider", "wire", "base URL", "API key variable", "base URL variable", "needs a table or a key"]
    return table(head, map(_known_provider, KNOWN_PROVIDERS))


def _known_provider(name: str) -> list[str]:
    defaults = KNOWN_PROVIDERS[name]
    keys = API_KEY_ENV_ALIASES.get(name, (defaults.get("api_key_env"),))
    return [
        f"`{name}`",
        f"`{defaults['wire']}`",
        _code(defaults.get("base_url")),
        ", then ".join(filter(None, map(_code, keys))),
        _code(BASE_URL_ENV.get(name)),
        "no" if name in BUILT_IN_PROVIDERS else "yes",
    ]


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _hints(section: type[Section]) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(section, include_extras=True).items() if name[0] != "_"}


def _unwrapped(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        return _unwrapped(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return _unwrapped(next(choice for choice in get_args(hint) if choice is not type(None)))
    return hint


def _docstrings(owner: type[Section]) -> Iterator[tuple[str, str]]:
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(body, ast.ClassDef)
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match following:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.target.id, " ".join(text.split())
