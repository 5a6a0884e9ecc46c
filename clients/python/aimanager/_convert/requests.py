"""Turns a prompt and keywords into the request that travels. Pure, but for the files that attachments name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._transport.settings import Setup
from ..errors import ConfigurationError, InvalidRequestError
from ..messages import Attachment, Message, Part, Tool, attachment, tool, user
from ..options import OnInterruption, RequestOptions, refuse_unknown
from ..types.response import AIResponse
from ..v1.content_pb2 import Role
from ..v1.generation_pb2 import (
    GenerateRequest,
    InterruptionPolicy,
    Patience,
    ReasoningEffort,
    ReasoningOptions,
    SamplingOptions,
    StreamGenerateRequest,
    ToolChoice,
    ToolMode,
)
from ..v1.model_pb2 import CountTokensRequest
from .checks import duration, names, put, readable
from .output_format import output_format
from .scalars import words

Prompt = str | Message | Part | Attachment | AIResponse | Sequence[str | Message | Part | Attachment | AIResponse]
"""A user turn, or turns in order, the newest last. A str, Part or Attachment is a user turn; an answer its message."""

SAMPLING = {
    "temperature": "temperature",
    "max_tokens": "max_output_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
}
PATIENCE = {"first_token_timeout": "first_token", "idle_timeout": "idle"}
MOST_FALLBACKS = 8


def generate_request(prompt: Prompt, options: RequestOptions, setup: Setup) -> GenerateRequest:
    """The question, with an idempotency key: a repeat after a lost answer must not bill twice."""
    request = _question("request", prompt, options, setup)
    request.idempotency_key = request.idempotency_key or uuid.uuid4().hex
    return request


def stream_request(
    prompt: Prompt, options: RequestOptions, setup: Setup, on_interruption: OnInterruption
) -> StreamGenerateRequest:
    """The same question, to be answered piece by piece."""
    policy = _choose("on_interruption", on_interruption, words(InterruptionPolicy))
    return StreamGenerateRequest(
        request=_question("stream", prompt, options, setup, "on_interruption"),
        on_interruption=InterruptionPolicy.ValueType(policy),
    )


def count_request(prompt: Prompt, options: RequestOptions, setup: Setup) -> CountTokensRequest:
    """The same question, to be counted."""
    return CountTokensRequest(request=_question("count_tokens", prompt, options, setup))


def _question(
    function: str, prompt: Prompt, options: RequestOptions, setup: Setup, *more_keywords: str
) -> GenerateRequest:
    refuse_unknown(function, options, (*RequestOptions.__annotations__, *more_keywords))
    request = GenerateRequest(
        model=readable("model", setup.named(options.get("model"))),
        messages=_messages(prompt, [attachment(file) for file in options.get("attachments") or ()]),
        system_instruction=readable("system", options.get("system") or ""),
        sampling=_sampling(options),
        reasoning=_reasoning(options.get("reasoning"), default=setup.reasoning),
        tools=[_tool(each) for each in options.get("tools") or ()],
        tool_choice=_tool_choice(options.get("tool_choice")),
        output_format=output_format(options.get("output")),
        fallback_models=_fallbacks(options.get("fallback_models") or (), setup),
        idempotency_key=readable("idempotency_key", options.get("idempotency_key") or ""),
        labels={
            readable("labels", name): readable("labels", value) for name, value in (options.get("labels") or {}).items()
        },
        provider_options_json=native_json(options.get("provider_options")),
        patience=_patience(options),
    )
    if not setup.vision:
        _refuse_images(request)
    return request


def _messages(prompt: Prompt, files: list[Attachment]) -> list[Message]:
    turns = [prompt] if isinstance(prompt, str | Message | Part | Attachment | AIResponse) else list(prompt)
    messages = [_message(turn) for turn in turns if turn != ""]
    if files:
        messages = _joined(messages, files)
    if not messages:
        raise InvalidRequestError("the prompt is empty", solution="Ask something: a text, a Message or an attachment.")
    return messages


def _message(turn: str | Message | Part | Attachment | AIResponse) -> Message:
    match turn:
        case Message():
            return turn
        case AIResponse():
            return turn.message
        case str() | Part() | Attachment():
            return user(turn)
    raise TypeError(f"a prompt is made of str, Message, Part, Attachment and AIResponse, not {type(turn).__name__}")


def _joined(messages: list[Message], files: list[Attachment]) -> list[Message]:
    """The files in the last user turn, before its text, where models read them best, but after tool results."""
    if not messages or messages[-1].role != Role.ROLE_USER:
        return [*messages, user(*files)]
    said = list(messages[-1].parts)
    results = [part for part in said if part.HasField("tool_result")]
    others = [part for part in said if not part.HasField("tool_result")]
    return [*messages[:-1], user(*results, *files, *others)]


def _sampling(options: RequestOptions) -> SamplingOptions | None:
    sampling = SamplingOptions()
    for keyword, field in SAMPLING.items():
        put(sampling, field, keyword, options.get(keyword))
    stop = options.get("stop") or ()
    sampling.stop_sequences.extend(readable("stop", text) for text in ([stop] if isinstance(stop, str) else stop))
    return sampling if sampling.ByteSize() else None


def _fallbacks(models: Sequence[str], setup: Setup) -> list[str]:
    listed = names("fallback_models", models)
    if len(listed) > MOST_FALLBACKS:
        raise InvalidRequestError(
            f"fallback_models may name {MOST_FALLBACKS} models, got {len(listed)}", solution="Name fewer."
        )
    return [setup.named(model) for model in listed]


def _patience(options: RequestOptions) -> Patience | None:
    patience = Patience()
    for keyword, field in PATIENCE.items():
        seconds = options.get(keyword)
        if seconds is not None:
            getattr(patience, field).CopyFrom(duration(keyword, seconds))
    return patience if patience.ByteSize() else None


def _reasoning(asked: str | bool | ReasoningOptions | None, *, default: bool) -> ReasoningOptions | None:
    if isinstance(asked, ReasoningOptions):
        return asked
    asked = default or None if asked is None else asked
    if asked is None:
        return None
    effort = asked if isinstance(asked, str) else "medium" if asked else "none"
    number = _choose("reasoning", effort, words(ReasoningEffort))
    return ReasoningOptions(effort=ReasoningEffort.ValueType(number), include=effort != "none")


def _choose(keyword: str, word: str, known: dict[str, int]) -> int:
    if word and word in known:
        return known[word]
    raise InvalidRequestError(
        f"{keyword} cannot be {word!r}", solution=f"Use one of {', '.join(name for name in known if name)}."
    )


def _tool(given: Tool | Callable[..., Any]) -> Tool:
    return given if isinstance(given, Tool) else tool(given)


def _tool_choice(asked: str | ToolChoice | None) -> ToolChoice | None:
    if asked is None or isinstance(asked, ToolChoice):
        return asked
    mode = words(ToolMode).get(asked)
    return ToolChoice(mode=ToolMode.ValueType(mode)) if mode else ToolChoice(tool_name=readable("tool_choice", asked))


def native_json(options: Mapping[str, Mapping[str, object]] | None) -> dict[str, str]:
    """Native options as they travel, by provider. Raises InvalidRequestError for what is no JSON object."""
    return {readable("provider_options", name): _json(name, native) for name, native in (options or {}).items()}


def _json(provider: str, native: object) -> str:
    try:
        if isinstance(native, dict):
            return json.dumps(native, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"provider_options[{provider!r}] is no JSON: {error}") from error
    raise InvalidRequestError(
        f"provider_options[{provider!r}] must be a dict", solution='Write {"claude": {"field": value}}.'
    )


def _refuse_images(request: GenerateRequest) -> None:
    for message in request.messages:
        for part in message.parts:
            files = [part.attachment, *part.tool_result.attachments]
            if any(file.mime_type.startswith("image/") for file in files):
                raise ConfigurationError(
                    "images are switched off: AIConfig.enable_vision is False",
                    solution="Leave the image out, or switch it on.",
                )
