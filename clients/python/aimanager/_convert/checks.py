"""Validate values before protobuf does, so that errors name the parameter and its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from ..errors import InvalidRequestError
from ..types.cache_policy import CacheMode, CachePolicy
from ..v1 import generation_pb2
from ..v1.generation_pb2 import PromptOptimization
from .scalars import enum_words

MAX_DURATION_SECONDS = 315_576_000_000  # the limit of google.protobuf.Duration
NANOS_PER_SECOND = 10**9
MIN_DURATION_SECONDS = 1 / NANOS_PER_SECOND
INTEGER_BITS = {FieldDescriptor.CPPTYPE_INT32: 32, FieldDescriptor.CPPTYPE_INT64: 64}


def require_utf8(parameter: str, text: str) -> str:
    """Return the text if it can be encoded as UTF-8.

    Raises InvalidRequestError for another type and for a character that UTF-8 cannot encode. The error shows that
    character but not the text.

    >>> require_utf8("system", "Be brief")
    'Be brief'
    """
    if not isinstance(text, str):
        raise InvalidRequestError(f"{parameter} must be a str, got {type(text).__name__}", f"Pass {parameter} as text.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"{parameter} must be valid UTF-8, got {text[error.start]!r} at character {error.start}",
            solution="Decode the text with its real encoding, or send binary data as an attachment.",
        ) from error
    return text


def require_names(parameter: str, names: Iterable[str]) -> list[str]:
    """Return the names as a list. Raises InvalidRequestError for an empty name, and for anything but a list.

    >>> require_names("providers", ("claude", "openai"))
    ['claude', 'openai']
    """
    if isinstance(names, str):
        raise InvalidRequestError(
            f"{parameter} must be a list of names, got {names!r}", solution=f"Write {parameter}=[{names!r}]."
        )
    if not isinstance(names, Iterable):
        raise InvalidRequestError(
            f"{parameter} must be a list of names, got {names!r:.100}", solution=f"Write {parameter}=[…]."
        )
    checked = [require_utf8(f"{parameter}[{index}]", name) for index, name in enumerate(names)]
    if "" in checked:
        raise InvalidRequestError(
            f"{parameter}[{checked.index('')}] must not be empty", solution="Pass a name, or remove the item."
        )
    return checked


def require_choice(parameter: str, value: str, choices: Mapping[str, int]) -> int:
    """Return the enum number of a word. Raises InvalidRequestError for a word that is not a choice.

    >>> require_choice("reasoning", "low", {"low": 3, "high": 5})
    3
    """
    if isinstance(value, str) and value and value in choices:
        return choices[value]
    accepted = ", ".join(choice for choice in choices if choice)
    raise InvalidRequestError(
        f"{parameter} must be one of {accepted}, got {value!r}", solution="Pass one of the accepted values."
    )


def require_optimizations(words: str | Iterable[str]) -> tuple[str, ...]:
    """Return the words of `optimize`, each once; one alone is a list of one. Raises InvalidRequestError for another.

    >>> require_optimizations("history")
    ('history',)
    """
    listed = [words] if isinstance(words, str) else words
    if isinstance(listed, Mapping) or not isinstance(listed, Iterable):
        raise InvalidRequestError(
            f"optimize must be a list of words, got {words!r:.100}", 'Write optimize=["whitespace", "history"].'
        )
    given = tuple(listed)
    for word in given:
        require_choice("optimize", word, enum_words(PromptOptimization))
    return tuple(dict.fromkeys(given))


def require_cache_policy(cache: CacheMode | CachePolicy) -> generation_pb2.CachePolicy:
    """Return the policy that `cache` stands for. Raises InvalidRequestError.

    >>> require_cache_policy("refresh")
    mode: CACHE_MODE_REFRESH
    """
    policy = cache if isinstance(cache, CachePolicy) else CachePolicy(cache)
    mode = require_choice("cache", policy.mode, enum_words(generation_pb2.CacheMode))
    if policy.max_age is None:
        return generation_pb2.CachePolicy(mode=generation_pb2.CacheMode.ValueType(mode))
    if policy.mode != "use":
        raise InvalidRequestError(
            f"cache.max_age requires the mode 'use', got {policy.mode!r}",
            solution="Omit max_age, or set this mode.",
        )
    max_age = require_duration("cache.max_age", policy.max_age)
    return generation_pb2.CachePolicy(mode=generation_pb2.CacheMode.ValueType(mode), max_age=max_age)


def set_number(message: Message, field: str, parameter: str, value: object) -> None:
    """Set a numeric field; None leaves it unset. Raises InvalidRequestError for a value that the field cannot hold."""
    if value is None:
        return
    try:
        setattr(message, field, value)
    except (TypeError, ValueError) as error:
        bits = INTEGER_BITS.get(message.DESCRIPTOR.fields_by_name[field].cpp_type)
        expected = f"a {bits}-bit integer" if bits else "a number"
        raise InvalidRequestError(
            f"{parameter} must be {expected}, got {value!r:.100}", solution="Omit it to use the default."
        ) from error


def require_duration(parameter: str, seconds: object) -> Duration:
    """Convert seconds to a Duration. Raises InvalidRequestError unless they are a positive, finite number.

    >>> require_duration("idle_timeout", 1.5)
    seconds: 1
    nanos: 500000000
    """
    is_boolean = isinstance(seconds, bool)
    if isinstance(seconds, int | float) and not is_boolean and MIN_DURATION_SECONDS <= seconds <= MAX_DURATION_SECONDS:
        nanos = round(seconds * NANOS_PER_SECOND)
        return Duration(seconds=nanos // NANOS_PER_SECOND, nanos=nanos % NANOS_PER_SECOND)
    is_long = isinstance(seconds, int | float) and seconds > MAX_DURATION_SECONDS
    expected = f"at most {MAX_DURATION_SECONDS:.0f} seconds" if is_long else "a positive number of seconds"
    raise InvalidRequestError(
        f"{parameter} must be {expected}, got {seconds!r:.100}",
        solution="Omit it to use the default.",
    )
