"""The keywords of the clients in one place: what a connection takes and what a question takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from os import PathLike
from typing import Any, Literal, TypedDict

from ._convert.output_format import Output
from .v1.content_pb2 import Attachment
from .v1.generation_pb2 import ReasoningOptions, Tool, ToolChoice

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
OnInterruption = Literal["restart", "fail"]
"""Where a provider fails after an answer has begun: the gateway begins it again elsewhere, or the stream fails."""


class ConnectionOptions(TypedDict, total=False):
    """How the gateway is reached.

    `token` is the gateway's own token; without TLS it travels as it is. `tls=True` trusts the system's authorities,
    `root_certificates` (PEM) those it holds; `private_key` and `certificate_chain` (PEM) are for a gateway that asks
    for client certificates. `timeout` is in seconds and holds for requests and streams. `retries`, 0 to 3, are
    sendings after the first.
    """

    token: str | None
    tls: bool
    root_certificates: bytes | None
    private_key: bytes | None
    certificate_chain: bytes | None
    timeout: float | None
    retries: int | None


class RequestOptions(TypedDict, total=False):
    """What a question may say beside the prompt. Unset or None: the gateway's or the provider's default.

    `model`: [provider/]id or [provider/]alias (latest, current, fast, reasoning). `system`: what the model is told
    first. `tools`: functions, or what `tool` builds. `tool_choice`: auto, required, none, the name of a tool, or a
    ToolChoice. `reasoning`: an effort, True for medium, False for none, or ReasoningOptions. `attachments`: paths,
    https addresses, bytes or Attachments, joined to the last user turn. `output`: what the answer has to be, a JSON
    Schema, a pydantic model, or dict for any JSON object; the answer's `parsed` holds it. `provider_options`: by
    provider, merged into its native request. `labels`: copied to the gateway's logs. `idempotency_key`: a repeat
    returns the first answer.
    `fallback_models`: at most 8, in the form of `model`, tried in order where a model fails; one that cannot do what
    the question needs is passed over with a warning. A key of your own goes to no other provider.
    `timeout`: seconds for the whole call. `first_token_timeout`: seconds that a model may be silent before its answer
    begins, then the next one is asked. `idle_timeout`: seconds between two pieces of an answer, then it counts as cut.
    """

    model: str | None
    system: str | None
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    top_k: int | None
    seed: int | None
    stop: str | Sequence[str] | None
    tools: Sequence[Tool | Callable[..., Any]] | None
    tool_choice: str | ToolChoice | None
    reasoning: Effort | bool | ReasoningOptions | None
    attachments: Sequence[str | PathLike[str] | bytes | Attachment] | None
    output: Output | None
    provider_options: Mapping[str, Mapping[str, object]] | None
    labels: Mapping[str, str] | None
    idempotency_key: str | None
    fallback_models: Sequence[str] | None
    timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None


def refuse_unknown(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises TypeError for a keyword that is not known, naming the nearest that is.

    >>> refuse_unknown("request", ["temprature"], RequestOptions.__annotations__)
    Traceback (most recent call last):
    TypeError: request() got an unexpected keyword argument 'temprature'. Did you mean 'temperature'?
    """
    names = list(known)
    for name in given:
        if name not in names:
            nearest = get_close_matches(name, names, n=1, cutoff=0.0)[0]
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}. Did you mean {nearest!r}?")
