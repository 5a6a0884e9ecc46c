"""Building turns, files and tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from aimanager import Attachment, InvalidRequestError, assistant, attachment, image, pdf, tool, tool_result, user
from aimanager.v1.content_pb2 import ROLE_ASSISTANT, ROLE_USER, Part, ToolCall, ToolResult

CALL = ToolCall(id="1", name="weather")


def test_turns_have_their_roles() -> None:
    assert user("Hi", Part(text="there")).role == ROLE_USER
    assert assistant("Hello").role == ROLE_ASSISTANT


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff...", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"%PDF-1.7", "application/pdf"),
        ("naïve".encode(), "text/plain"),
    ],
)
def test_the_first_bytes_tell_the_type(data: bytes, kind: str) -> None:
    assert attachment(data).mime_type == kind


def test_a_name_tells_the_type_where_the_bytes_do_not(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>")

    assert attachment(page) == Attachment(mime_type="text/html", filename="page.html", data=b"<p>")


def test_a_type_that_is_said_wins() -> None:
    assert attachment(b"a,b", mime_type="text/csv", filename="a").mime_type == "text/csv"


def test_an_address_is_left_to_the_provider() -> None:
    told = image("https://example.org/cat.png?size=2")

    assert told == Attachment(mime_type="image/png", uri="https://example.org/cat.png?size=2")
    assert pdf("https://example.org/paper").mime_type == "application/pdf"


def test_an_attachment_is_ready() -> None:
    ready = Attachment(mime_type="image/png", data=b"x")

    assert image(ready) is ready


@pytest.mark.parametrize("source", [b"\xff\xfe\xfd", "https://example.org/cat"])
def test_a_type_that_cannot_be_told_is_asked_for(source: str | bytes) -> None:
    with pytest.raises(InvalidRequestError, match="cannot tell") as refused:
        attachment(source)

    assert "mime_type=" in refused.value.solution


@pytest.mark.parametrize("build", [image, pdf])
def test_another_kind_of_file_is_refused(build: Callable[[bytes], Attachment]) -> None:
    with pytest.raises(InvalidRequestError, match="text/plain"):
        build(b"text")


def test_a_tool_result_is_text_or_json() -> None:
    assert tool_result(CALL, "sunny") == Part(tool_result=ToolResult(tool_call_id="1", name="weather", output="sunny"))
    assert tool_result(CALL, {"sky": "blue"}, is_error=True).tool_result.output == '{"sky": "blue"}'


class Unit(Enum):
    CELSIUS = "c"
    KELVIN = "k"


def test_a_tool_is_described_by_its_function() -> None:
    def weather(  # type: ignore[no-untyped-def]  # as people write them
        city: Annotated[str, "Where"],
        *,
        days: int = 1,
        unit: Unit = Unit.CELSIUS,
        detail: Literal["low", "high"] = "low",
        hours: Sequence[float] | None = None,
        extra: dict[str, bool] | None = None,
        tags: list = [],  # type: ignore[type-arg]  # noqa: B006  # a bare hint, as people write it
        options: dict = {},  # type: ignore[type-arg]  # noqa: B006
        anything: Any = None,
        marked: Annotated[int, 3] = 0,
        untyped=None,
    ) -> str:
        """Tells the weather."""
        return city

    schema = json.loads(tool(weather, strict=True).input_schema_json)

    assert schema == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where"},
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


def test_a_model_that_describes_itself_is_asked() -> None:
    class Place:
        @classmethod
        def model_json_schema(cls) -> dict[str, str]:
            return {"type": "object", "title": "Place"}

    Place.__module__ = __name__

    def go(place: Place) -> None: ...

    go.__annotations__ = {"place": Place}

    assert json.loads(tool(go).input_schema_json)["properties"] == {"place": Place.model_json_schema()}


def test_a_tool_may_be_given_whole() -> None:
    named = tool("weather", description="Tells the weather.", schema={"type": "object"})

    assert (named.name, named.description, named.input_schema_json) == (
        "weather",
        "Tells the weather.",
        '{"type": "object"}',
    )
    assert tool("now").input_schema_json == ""


def test_a_schema_that_is_given_wins() -> None:
    def odd(*places: str) -> None: ...

    assert tool(odd, schema={"type": "object"}).input_schema_json == '{"type": "object"}'


@dataclass
class Opaque:
    """Nothing JSON Schema knows."""


def takes_many(*places: str) -> None: ...
def takes_any(**places: str) -> None: ...
def takes_opaque(place: Opaque) -> None: ...


@pytest.mark.parametrize("function", [takes_many, takes_any, takes_opaque])
def test_a_function_no_model_can_call_is_refused(function: Callable[..., None]) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be a tool") as refused:
        tool(function)

    assert "schema=" in refused.value.solution
