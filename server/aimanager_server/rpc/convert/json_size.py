"""Limit the JSON that a request contains as text, before any of it is parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aimanager.v1 import generation_pb2

from ...config.settings import Limits
from ...validation.json_depth import count_values
from ...validation.violations import entry_path
from .fields import FieldParser

MAX_EMBEDDING_OPTIONS_LENGTH = 16 * 1024
"""Characters of the native options of an embedding request. Some wires repeat them for every input."""


def check_json_size(parser: FieldParser, request: generation_pb2.GenerateRequest, limits: Limits) -> None:
    """Reject a request whose schemas and native options together are too large, at the largest of them."""
    texts = dict(_json_texts(request))
    sizes = {path: len(text) for path, text in texts.items()}
    if _exceeds(parser, sizes, limits.max_json_characters, "characters"):
        return
    # A text has no more values than characters.
    if sum(sizes.values()) > limits.max_json_values:
        counts = {path: count_values(text) for path, text in texts.items()}
        _exceeds(parser, counts, limits.max_json_values, "brackets and commas")


def check_embedding_options_size(parser: FieldParser, options: Mapping[str, str]) -> None:
    """Reject native options of an embedding request that together are too large."""
    sizes = {entry_path("provider_options_json", provider): len(text) for provider, text in options.items()}
    _exceeds(parser, sizes, MAX_EMBEDDING_OPTIONS_LENGTH, "characters")


def _json_texts(request: generation_pb2.GenerateRequest) -> Iterator[tuple[str, str]]:
    for index, tool in enumerate(request.tools):
        yield f"tools[{index}].input_schema_json", tool.input_schema_json
    if request.HasField("output_format"):
        yield "output_format.json_schema.schema_json", request.output_format.json_schema.schema_json
    for provider, options in request.provider_options_json.items():
        yield entry_path("provider_options_json", provider), options


def _exceeds(parser: FieldParser, sizes: Mapping[str, int], limit: int, unit: str) -> bool:
    total = sum(sizes.values())
    if total <= limit:
        return False
    largest = max(sizes, key=lambda path: sizes[path])
    others = " together with the other schemas and options" if len(sizes) > 1 else ""
    parser.reject(largest, f"must have at most {limit} {unit}{others}, got {total}")
    return True
