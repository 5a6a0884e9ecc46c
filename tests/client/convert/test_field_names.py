"""Field paths of the API become parameter names of the client, for every field that the client can set."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, MutableMapping, MutableSequence

import pytest
from google.protobuf.message import Message

from aimanager._convert.field_names import PARAMETERS, parameter_name, with_parameter_names
from aimanager.options import EmbedOptions, RequestOptions, SuggestOptions
from aimanager.resources.health import Health
from aimanager.resources.metrics import Metrics
from aimanager.resources.models import Models
from aimanager.v1.embedding_pb2 import EmbedRequest
from aimanager.v1.generation_pb2 import GenerateRequest, StreamGenerateRequest
from aimanager.v1.health_pb2 import ListProviderHealthRequest
from aimanager.v1.metrics_pb2 import GetMetricsSummaryRequest
from aimanager.v1.model_pb2 import CountTokensRequest, GetModelRequest, ListModelsRequest, SuggestModelsRequest
from aimanager.v1.quality_pb2 import AssessProvidersRequest

API_WORDS = re.compile(
    r"sampling|stream_timeouts|output_format|system_instruction|messages|_json\b|max_output_tokens|request\."
)


def field_paths(message: Message, prefix: str = "") -> Iterator[str]:
    """Yield the paths of a request's fields and of everything inside them, as the server reports them."""
    for field in message.DESCRIPTOR.fields:
        path, value = f"{prefix}{field.name}", getattr(message, field.name)
        yield path
        if isinstance(value, MutableMapping):
            yield f'{path}["claude"]'
        elif isinstance(value, MutableSequence):
            path = f"{path}[0]"
            yield path
            value = value.add() if field.message_type else None  # type: ignore[attr-defined]  # only of messages
        if isinstance(value, Message) and value.DESCRIPTOR.file.package == message.DESCRIPTOR.file.package:
            yield from field_paths(value, f"{path}.")


def parameters(function: object) -> set[str]:
    assert callable(function)
    return set(inspect.signature(function).parameters)


STREAM_PARAMETERS = {"prompt", "on_interruption", *RequestOptions.__annotations__}
NOT_PARAMETERS = {"conversation_id", "heartbeat_interval", "page_size", "page_token"}
REQUESTS = [
    (GenerateRequest(), STREAM_PARAMETERS),
    (StreamGenerateRequest(), STREAM_PARAMETERS),
    (CountTokensRequest(), STREAM_PARAMETERS),
    (EmbedRequest(), {"inputs", *EmbedOptions.__annotations__}),
    (ListModelsRequest(), parameters(Models.list)),
    (GetModelRequest(), parameters(Models.get)),
    (SuggestModelsRequest(), {"required", *SuggestOptions.__annotations__}),
    (ListProviderHealthRequest(), parameters(Health.list)),
    (AssessProvidersRequest(), parameters(Health.assess)),
    (GetMetricsSummaryRequest(), parameters(Metrics.get_summary)),
]


def test_every_field_has_the_name_of_a_parameter() -> None:
    names = {
        f"{type(request).__name__}.{path}": (parameter_name(path), accepted)
        for request, accepted in REQUESTS
        for path in field_paths(request)
        if path.removeprefix("request.") not in NOT_PARAMETERS and path != "request"
    }

    offenders = {
        path: name
        for path, (name, accepted) in names.items()
        if re.split(r"[.\[]", name)[0] not in accepted | {"sampling", "stream_timeouts"}
    }

    assert offenders == {}


def test_no_leaf_field_keeps_a_word_of_the_api() -> None:
    groups = {"sampling", "stream_timeouts", "request"}  # messages whose fields are separate parameters

    offenders = {
        path: parameter_name(path)
        for request in (GenerateRequest(), StreamGenerateRequest(), EmbedRequest())
        for path in field_paths(request)
        if path.removeprefix("request.") not in groups
        and not path.removeprefix("request.").startswith("messages[")
        and API_WORDS.search(parameter_name(path))
    }

    assert offenders == {}


def test_table_has_no_unknown_field() -> None:
    known = {re.sub(r"\[[^\]]*\]", "[]", path) for path in field_paths(GenerateRequest())}

    assert set(PARAMETERS) - known == set()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("sampling.stop_sequences[2]", "stop[2]"),
        ("request.sampling.temperature", "temperature"),
        ("tools[1].input_schema_json", "tools[1].schema"),
        ("tools[1].name", "tools[1].name"),
        ("output_format.json_schema.schema_json", "output"),
        ('labels["a.b[0]"]', 'labels["a.b[0]"]'),
        ('provider_options_json["a]\\"b"]', 'provider_options["a]\\"b"]'),
        ("reasoning.budget_tokens", "reasoning.budget_tokens"),
        ("stream_timeouts.first_token_timeout", "first_token_timeout"),
        ("request.stream_timeouts.idle_timeout", "idle_timeout"),
        ("messages[3].parts[0].text", "prompt[3].parts[0].text"),
        ("fallback_models[7]", "fallback_models[7]"),
        ("something.new", "something.new"),
        ("tools[].input_schema_json", "tools[].schema"),
        ("messages[", "messages["),
        ("", ""),
    ],
)
def test_path_becomes_parameter(path: str, name: str) -> None:
    assert parameter_name(path) == name


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        (
            "2 invalid fields: sampling.top_p must be between 0.0 and 1.0, got 2.0; sampling.top_k must be at least 1.",
            ["sampling.top_p", "sampling.top_k"],
            "2 invalid fields: top_p must be between 0.0 and 1.0, got 2.0; top_k must be at least 1.",
        ),
        ("messages: 3 messages are too many.", ["messages"], "prompt: 3 messages are too many."),
        (
            "request.sampling.temperature must be between 0.0 and 2.0, got 3.0",
            ["request.sampling.temperature"],
            "temperature must be between 0.0 and 2.0, got 3.0",
        ),
        ("request.messages and request.model must be set.", [], "prompt and model must be set."),
        ("The request.", [], "The request."),
        ("The model sends messages.", ["model"], "The model sends messages."),
        ("Lower sampling.max_output_tokens.", [], "Lower max_tokens."),
        ("output_format cannot be combined with tools", [], "output cannot be combined with tools"),
        (
            "No model named 'sampling.seed' or x-sampling.seed.",
            [],
            "No model named 'sampling.seed' or x-sampling.seed.",
        ),
        ("See https://example.org/messages[0] and gpt-4.1.", [], "See https://example.org/messages[0] and gpt-4.1."),
        ("", ["messages"], ""),
    ],
)
def test_text_uses_parameter_names(text: str, fields: list[str], expected: str) -> None:
    assert with_parameter_names(text, fields) == expected
