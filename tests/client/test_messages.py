"""Messages, attachments and tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel

from aimanager import (
    Attachment,
    InvalidRequestError,
    assistant,
    attachment,
    cached,
    image,
    pdf,
    tool,
    tool_result,
    user,
)
from aimanager.v1.content_pb2 import ROLE_ASSISTANT, ROLE_USER, Part, ToolCall, ToolResult

CALL = ToolCall(id="1", name="weather")


def test_messages_have_their_role() -> None:
    assert user("Hi", Part(text="there")).role == ROLE_USER
    assert assistant("Hello").role == ROLE_ASSISTANT


@pytest.mark.parametrize(
    ("data", "mime_type"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff...", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"%PDF-1.7", "application/pdf"),
        ("naïve".encode(), "text/plain"),
    ],
)
def test_mime_type_is_detected_from_the_first_bytes(data: bytes, mime_type: str) -> None:
    assert attachment(data).mime_type == mime_type


def test_mime_type_is_guessed_from_the_name(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>")

    assert attachment(page) == Attachment(mime_type="text/html", filename="page.html", data=b"<p>")


def test_explicit_mime_type_is_kept() -> None:
    assert attachment(b"a,b", mime_type="text/csv", filename="a").mime_type == "text/csv"


def test_url_is_not_fetched_by_the_client() -> None:
    attached = image("https://example.org/cat.png?size=2")

    assert attached == Attachment(mime_type="image/png", uri="https://example.org/cat.png?size=2")
    assert pdf("https://example.org/paper").mime_type == "application/pdf"


def test_a_part_is_cached_without_a_change_of_the_original() -> None:
    original = Part(text="Call me Ishmael.")

    assert [part.cache_hint for part in user(cached(original), cached(pdf(b"%PDF-1.7"), "long"), "Who?").parts] == [
        1,
        2,
        0,
    ]
    assert not original.cache_hint
    with pytest.raises(InvalidRequestError, match=r"lifetime must be .*short.*long.* got 'forever'"):
        cached("Hi", "forever")  # type: ignore[arg-type]  # a wrong word


def test_attachment_is_returned_unchanged() -> None:
    attached = Attachment(mime_type="image/png", data=b"x")

    assert image(attached) is attached


@pytest.mark.parametrize("source", [b"\xff\xfe\xfd", "https://example.org/cat"])
def test_unknown_mime_type_is_rejected(source: str | bytes) -> None:
    with pytest.raises(InvalidRequestError, match="Cannot detect the MIME type") as rejected:
        attachment(source)

    assert "mime_type=" in rejected.value.solution


@pytest.mark.parametrize("build", [image, pdf])
def test_other_file_types_are_rejected(build: Callable[[bytes], Attachment]) -> None:
    with pytest.raises(InvalidRequestError, match="text/plain"):
        build(b"text")


def test_tool_result_is_text_or_json() -> None:
    assert tool_result(CALL, "sunny") == Part(tool_result=ToolResult(tool_call_id="1", name="weather", output="sunny"))
    assert tool_result(CALL, {"sky": "blue"}, is_error=True).tool_result.output == '{"sky": "blue"}'


class Sky(Enum):
    CLEAR = "clear"


class Place(BaseModel):
    name: str
    seen: date


@dataclass
class Report:
    place: Place
    sky: Sky
    tags: set[str]


def test_values_inside_a_tool_result_become_json_as_pydantic_would_write_them() -> None:
    report = Report(Place(name="Rome", seen=date(2026, 11, 27)), Sky.CLEAR, {"a"})

    sent = tool_result(CALL, [report, Decimal("1.5"), UUID(int=0), Path("a/b")]).tool_result.output

    assert json.loads(sent) == [
        {"place": {"name": "Rome", "seen": "2026-11-27"}, "sky": "clear", "tags": ["a"]},
        "1.5",
        "00000000-0000-0000-0000-000000000000",
        "a/b",
    ]


def test_file_without_a_size_is_read_to_the_limit_only() -> None:
    with pytest.raises(InvalidRequestError, match="'/dev/zero' has more than 36 MiB") as raised:
        attachment("/dev/zero")

    assert raised.value.reason == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize("source", ["data:image/png;base64,aGVsbG8=", "a" * 5000])
def test_error_does_not_repeat_content_that_was_passed_as_a_path(source: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        attachment(source)

    assert len(str(raised.value)) < 300
    assert "aGVsbG8=" not in str(raised.value)


class Unit(Enum):
    CELSIUS = "c"
    KELVIN = "k"


def test_tool_schema_comes_from_type_hints() -> None:
    def weather(  # type: ignore[no-untyped-def]  # an untyped parameter is common
        city: Annotated[str, "City name"],
        *,
        days: int = 1,
        unit: Unit = Unit.CELSIUS,
        detail: Literal["low", "high"] = "low",
        hours: Sequence[float] | None = None,
        extra: dict[str, bool] | None = None,
        tags: list = [],  # type: ignore[type-arg]  # noqa: B006  # a bare hint is common
        options: dict = {},  # type: ignore[type-arg]  # noqa: B006
        anything: Any = None,
        marked: Annotated[int, 3] = 0,
        untyped=None,
    ) -> str:
        """Return the weather."""
        return city

    schema = json.loads(tool(weather, strict=True).input_schema_json)

    assert schema == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "City name"},
            "days": {"type": "integer"},
            "unit": {"enum": ["c", "k"]},
            "detail": {"enum": ["low", "high"]},
            "hours": {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "null"}]},
            "extra": {"anyOf": [{"type": "object", "additionalProperties": {"type": "boolean"}}, {"type": "null"}]},
            "tags": {"type": "array"},
            "options": {"type": "object"},
            "anything": {},
            "marked": {"type": "integer"},
            "untyped": {},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_pydantic_parameter_uses_its_own_schema() -> None:
    class Place:
        @classmethod
        def model_json_schema(cls) -> dict[str, str]:
            return {"type": "object", "title": "Place"}

    Place.__module__ = __name__

    def go(place: Place) -> None: ...

    go.__annotations__ = {"place": Place}

    assert json.loads(tool(go).input_schema_json)["properties"] == {"place": Place.model_json_schema()}


def test_tool_has_explicit_name_description_and_schema() -> None:
    named = tool("weather", description="Return the weather.", schema={"type": "object"})

    assert (named.name, named.description, named.input_schema_json) == (
        "weather",
        "Return the weather.",
        '{"type": "object"}',
    )
    assert tool("now").input_schema_json == ""


def test_explicit_schema_replaces_type_hints() -> None:
    def odd(*places: str) -> None: ...

    assert tool(odd, schema={"type": "object"}).input_schema_json == '{"type": "object"}'


@dataclass
class Opaque:
    """A type without a JSON Schema."""


def takes_many(*places: str) -> None: ...
def takes_any(**places: str) -> None: ...
def takes_opaque(place: Opaque) -> None: ...


@pytest.mark.parametrize("function", [takes_many, takes_any, takes_opaque])
def test_unsupported_function_is_rejected(function: Callable[..., None]) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be used as a tool") as rejected:
        tool(function)

    assert "schema=" in rejected.value.solution
