"""Translate field paths of the API, such as `sampling.max_output_tokens`, into parameter names of the client."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType

PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "messages": "prompt",
        "system_instruction": "system",
        "sampling.temperature": "temperature",
        "sampling.max_output_tokens": "max_tokens",
        "sampling.top_p": "top_p",
        "sampling.top_k": "top_k",
        "sampling.seed": "seed",
        "sampling.stop_sequences": "stop",
        "reasoning.effort": "reasoning",
        "tools[].input_schema_json": "tools[].schema",
        "tool_choice.mode": "tool_choice",
        "tool_choice.tool_name": "tool_choice",
        "output_format": "output",
        "output_format.json_object": "output",
        "output_format.json_schema": "output",
        "output_format.json_schema.name": "output",
        "output_format.json_schema.schema_json": "output",
        "output_format.json_schema.strict": "output",
        "optimizations": "optimize",
        "cache_policy": "cache",
        "cache_policy.mode": "cache",
        "cache_policy.max_age": "cache.max_age",
        "provider_options_json": "provider_options",
        "stream_timeouts.first_token_timeout": "first_token_timeout",
        "stream_timeouts.idle_timeout": "idle_timeout",
    }
)
"""API field path → parameter name; `[]` stands for any index. Other fields have the same name on both sides."""

_INDEX = r'\[(?:\d+|"(?:[^"\\]|\\.)*")\]'
_SEGMENT = rf"[a-z_][a-z0-9_]*(?:{_INDEX})?"
INDEX = re.compile(_INDEX)
PATH = re.compile(rf"(?<![\w.\-/\"']){_SEGMENT}(?:\.{_SEGMENT})*")


def parameter_name(path: str) -> str:
    """Return the parameter for a field path of any request. Streams and token counts nest it in `request`.

    >>> parameter_name("sampling.max_output_tokens"), parameter_name('provider_options_json["claude"]')
    ('max_tokens', 'provider_options["claude"]')
    >>> parameter_name("request.tools[2].input_schema_json"), parameter_name("labels")
    ('tools[2].schema', 'labels')
    """
    path = path.removeprefix("request.")
    shape = INDEX.sub("[]", path)
    prefix = next(_known_prefixes(shape), None)
    if prefix is None:
        return path
    indices = iter(INDEX.findall(path))
    return re.sub(r"\[\]", lambda _: next(indices, "[]"), PARAMETERS[prefix] + shape[len(prefix) :])


def _known_prefixes(shape: str) -> Iterator[str]:
    """Yield the prefixes of a path that the table holds, the longest first."""
    ends = [len(shape), *(match.start() for match in reversed(list(re.finditer(r"\.|\[\]", shape))))]
    return (shape[:end] for end in ends if shape[:end] in PARAMETERS)


def with_parameter_names(text: str, fields: Collection[str], name: Callable[[str], str] = parameter_name) -> str:
    """Replace field paths in a message. A path that could be an English word is replaced only if it is in `fields`.

    >>> with_parameter_names("sampling.temperature must be between 0.0 and 2.0, got 3.0", ())
    'temperature must be between 0.0 and 2.0, got 3.0'
    >>> with_parameter_names("messages must not be empty: send messages", ["messages"])
    'prompt must not be empty: send messages'
    >>> with_parameter_names("request.model must have at most 256 characters", ())
    'model must have at most 256 characters'
    """
    remaining = list(fields)

    def replace(match: re.Match[str]) -> str:
        path = match[0]
        if path in remaining:
            remaining.remove(path)
            return name(path)
        return name(path) if _is_unmistakable(path) else path

    return PATH.sub(replace, text)


def _is_unmistakable(path: str) -> bool:
    if path.startswith("request."):
        return True
    shape = INDEX.sub("[]", path)
    return shape != "messages" and next(_known_prefixes(shape), None) is not None
