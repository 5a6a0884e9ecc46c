"""What cannot travel is refused before it is sent, by its keyword and its value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aimanager import AIManager, AsyncAIManager, InvalidRequestError, attachment, pdf, tool, tool_result, user
from aimanager.options import RequestOptions
from aimanager.types.response import ToolCall
from aimanager.v1 import content_pb2
from tests.support.fake_gateway.server import FakeGateway

LONE = "a\ud800"  # half of a pair: no text, and not UTF-8


@pytest.mark.parametrize(
    ("options", "keyword"),
    [
        (RequestOptions(model=LONE), "model"),
        (RequestOptions(system=LONE), "system"),
        (RequestOptions(stop=["END", LONE]), "stop"),
        (RequestOptions(labels={"team": LONE}), "labels"),
        (RequestOptions(labels={LONE: "a"}), "labels"),
        (RequestOptions(idempotency_key=LONE), "idempotency_key"),
        (RequestOptions(tool_choice=LONE), "tool_choice"),
        (RequestOptions(provider_options={LONE: {}}), "provider_options"),
    ],
)
def test_an_option_that_is_no_text_is_named(ai: AIManager, options: RequestOptions, keyword: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{keyword} is not UTF-8: character") as refused:
        ai.request("Hi", **options)

    assert repr(LONE[1])[1:-1] in str(refused.value)


def test_a_prompt_that_is_no_text_is_refused_without_showing_it(ai: AIManager) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        ai.request(f"Secret {LONE}")

    assert str(refused.value) == "the text is not UTF-8: character 8 is '\\ud800'"


def test_turns_tools_and_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    call = ToolCall(content_pb2.ToolCall(id="1"))
    unreadable = tmp_path / "a\udcff.txt"
    unreadable.write_bytes(b"text")

    for build in (
        lambda: user(LONE),
        lambda: tool(LONE),
        lambda: tool("name", description=LONE),
        lambda: tool_result(call, LONE),
        lambda: attachment(f"https://files.example/{LONE}.png"),
        lambda: attachment(b"text", filename=LONE),
        lambda: attachment(unreadable),
    ):
        with pytest.raises(InvalidRequestError, match="is not UTF-8"):
            build()
    assert attachment(unreadable, filename="a.txt").filename == "a.txt"


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        (["fine", LONE], {}, "inputs[1] is not UTF-8: character 1 is '\\ud800'"),
        (LONE, {}, "inputs[0] is not UTF-8: character 1 is '\\ud800'"),
        ("a", {"model": LONE}, "model is not UTF-8: character 1 is '\\ud800'"),
        ("a", {"dimensions": 2**31}, "dimensions cannot be 2147483648: Value out of range: 2147483648"),
        ("a", {"dimensions": "8"}, "dimensions cannot be '8': "),
    ],
)
def test_what_cannot_be_embedded_is_named(
    fake: FakeGateway, ai: AIManager, inputs: Any, options: Any, said: str
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        ai.embed(inputs, **options)

    assert str(refused.value).startswith(said)
    assert not fake.received


async def test_the_async_client_refuses_the_same(async_ai: AsyncAIManager) -> None:
    with pytest.raises(InvalidRequestError, match="dimensions cannot be"):
        await async_ai.embed("a", dimensions=2**40)
    with pytest.raises(InvalidRequestError, match="top_k cannot be"):
        await async_ai.request("Hi", top_k=2**40)


def test_only_texts_are_embedded(ai: AIManager) -> None:
    with pytest.raises(TypeError, match=r"inputs\[0\] must be a str, not int"):
        ai.embed([3])  # type: ignore[list-item]


@pytest.mark.parametrize("keyword", ["max_tokens", "top_k", "seed"])
def test_a_number_beyond_its_field_is_named(ai: AIManager, keyword: str) -> None:
    options: Any = {keyword: 2**80}

    with pytest.raises(InvalidRequestError, match=f"{keyword} cannot be {2**80}"):
        ai.request("Hi", **options)


@pytest.mark.parametrize("keyword", ["min_context_window_tokens", "max_results"])
def test_a_need_beyond_its_field_is_named(ai: AIManager, keyword: str) -> None:
    options: Any = {keyword: 2**40}

    with pytest.raises(InvalidRequestError, match=f"{keyword} cannot be {2**40}"):
        ai.models.suggest(**options)


def test_names_that_are_no_text_are_named(ai: AIManager) -> None:
    for ask in (
        lambda: ai.models.get(LONE),
        lambda: ai.models.list(LONE),
        lambda: ai.models.suggest(providers=[LONE]),
        lambda: ai.health.list([LONE]),
        lambda: ai.metrics.get_summary(LONE),
    ):
        with pytest.raises(InvalidRequestError, match="is not UTF-8"):
            ask()


def test_one_name_is_no_list_of_letters(ai: AIManager) -> None:
    with pytest.raises(InvalidRequestError, match="providers cannot be 'mock'") as refused:
        ai.health.list("mock")

    assert refused.value.solution == "Write providers=['mock']."


@pytest.mark.parametrize(
    "address", ["http://files.example/a.png", "HTTP://files.example/a.png", "ftp://files.example/a"]
)
def test_an_address_that_is_not_https_is_no_path(ai: AIManager, address: str) -> None:
    with pytest.raises(InvalidRequestError, match="only https is fetched") as refused:
        ai.request("Hi", attachments=[address])

    assert refused.value.solution.startswith("Give an https address")
    with pytest.raises(InvalidRequestError, match="only https"):
        pdf(address)


def test_the_letters_of_https_may_be_capitals() -> None:
    assert attachment("HTTPS://files.example/a.png").uri == "HTTPS://files.example/a.png"
