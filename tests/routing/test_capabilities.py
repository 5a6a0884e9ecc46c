"""What a model is known not to do is refused at the door, with models that do it."""

from __future__ import annotations

import pytest

from aimanager_server.catalog.catalog import Capability, Catalogue, Level, Model, Support
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import (
    Attachment,
    Effort,
    Message,
    ReasoningOptions,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import CATALOGUE, LAB, ask, assistant, fields, providers, refusal, resolve, resolver, user

IMAGE = user("What is it?", Attachment("image/png", data=b"png"))
PDF = user(Attachment("application/pdf", data=b"pdf"))
LINKED_PDF = user(Attachment("application/pdf", uri="https://a.example/x.pdf"))
STRICT = Tool("f", strict=True)


def test_an_image_for_a_model_that_sees_none_is_refused() -> None:
    fault = refusal(ask("deepseek/deepseek-v4-pro", IMAGE))

    assert fields(fault) == ["messages[0].parts[1].attachment"]
    assert "The model 'deepseek/deepseek-v4-pro' reads no images." in fault.message


def test_models_of_the_same_provider_are_named_first_and_the_mock_never() -> None:
    names = refusal(ask("deepseek/deepseek-v4-pro", IMAGE)).metadata["models"].split(", ")

    assert names[0] == "deepseek/deepseek-flash"
    assert len(names) == 5
    assert not any(name.startswith("mock/") for name in names)


def test_models_of_disabled_providers_are_not_named() -> None:
    by = resolver(claude={"enabled": False}, openai={"enabled": False})

    assert refusal(ask("deepseek/deepseek-v4-pro", IMAGE), by).metadata == {"models": "deepseek/deepseek-flash"}


def test_models_that_are_named_can_do_all_of_it() -> None:
    fault = refusal(ask("deepseek/deepseek-flash", IMAGE, LINKED_PDF))

    assert "deepseek" not in fault.metadata["models"]
    assert "openai" not in fault.metadata["models"]
    assert fault.metadata["models"].startswith("claude/")


@pytest.mark.parametrize("model", ["claude/latest", "openai/latest", "deepseek/current", "mock/latest"])
def test_an_image_for_a_model_that_sees_is_taken(model: str) -> None:
    assert resolve(ask(model, IMAGE))


def test_an_image_in_a_tools_result_counts() -> None:
    result = ToolResult("a", "f", "", (Attachment("image/png", data=b"png"),))

    fault = refusal(ask("deepseek/latest", user("Hi"), assistant(ToolCall("a", "f", "{}")), user(result)))

    assert fields(fault) == ["messages[2].parts[0].tool_result.attachments[0]"]


@pytest.mark.parametrize(("message", "lack"), [(PDF, "reads no documents"), (IMAGE, "reads no images")])
def test_each_kind_of_file_is_told_once(message: Message, lack: str) -> None:
    fault = refusal(ask("deepseek/latest", message, message))

    assert len(fault.violations) == 1
    assert lack in fault.message


def test_text_is_no_document() -> None:
    assert resolve(ask("deepseek/latest", user(Attachment("text/plain", data=b"Hello"))))


@pytest.mark.parametrize(("model", "taken"), [("claude/latest", True), ("openai/latest", True), ("openai/o3", False)])
def test_the_address_of_a_document_is_for_those_who_fetch_it(model: str, taken: bool) -> None:
    if taken:
        assert resolve(ask(model, LINKED_PDF))
    else:
        assert fields(refusal(ask(model, LINKED_PDF))) == ["messages[0].parts[0].attachment.uri"]


def test_who_is_refused_an_address_is_told_to_send_the_file_itself() -> None:
    fault = refusal(ask("openai/o3", LINKED_PDF))

    assert fault.solution.startswith("Use one of openai/")
    assert fault.solution.endswith("or send the file as data, or have the operator set server.fetch_attachments.")


def test_where_no_model_takes_an_address_sending_the_file_is_the_solution() -> None:
    by = Resolver(Catalogue([Model("mock", "alone", linked=frozenset())]), providers(), Limits())

    assert refusal(ask("mock/alone", LINKED_PDF), by).solution.startswith("Send the file as data, or have")


def test_of_several_lacks_the_general_solution_is_told() -> None:
    by = Resolver(Catalogue([Model("mock", "alone", linked=frozenset(), prefill=False)]), providers(), Limits())

    fault = refusal(ask("mock/alone", LINKED_PDF, assistant("So")), by)

    assert fault.solution == "Choose a model that can, or leave out what it cannot do."


def test_a_gateway_that_fetches_takes_addresses_for_every_model_that_reads_the_kind() -> None:
    by = Resolver(CATALOGUE, providers(), Limits(), fetches=True)

    assert resolve(ask("openai/o3", LINKED_PDF), by)
    assert fields(refusal(ask("deepseek/deepseek-v4-pro", LINKED_PDF), by)) == ["messages[0].parts[0].attachment"]


@pytest.mark.parametrize("model", ["gpt-5.5-pro", "gpt-5.4-pro", "o3-pro"])
def test_a_model_of_another_protocol_is_refused(model: str) -> None:
    fault = refusal(ask(f"openai/{model}"), resolver(openai={"wire": "chat_completions"}))

    assert fields(fault) == ["model"]
    assert "protocol that this server does not speak" in fault.message
    assert "pro" not in fault.metadata["models"]


@pytest.mark.parametrize("model", ["gpt-5.5-pro", "gpt-5.4-pro", "o3-pro", "gpt-6.2-sol", "gpt-4.1"])
def test_a_server_of_the_newer_protocol_serves_every_model(model: str) -> None:
    assert resolve(ask(f"openai/{model}"))


@pytest.mark.parametrize("model", ["gpt-6-astra", "gpt-6.1-sol"])
def test_tools_beside_thinking_are_refused_where_the_operator_chose_the_older_protocol(model: str) -> None:
    asked = ask(f"openai/{model}", tools=(Tool("f"),))

    assert resolve(asked)
    assert "calls no tools while it thinks" in refusal(asked, resolver(openai={"wire": "chat_completions"})).message


@pytest.mark.parametrize(("model", "taken"), [("claude-opus-4-6", False), ("claude-opus-4-5", True)])
def test_an_answer_begun_by_the_caller_is_for_older_models(model: str, taken: bool) -> None:
    asked = ask(f"claude/{model}", user("Count"), assistant("One, two,"))

    if taken:
        assert resolve(asked)
    else:
        assert fields(refusal(asked)) == ["messages[1]"]


def test_what_is_not_known_is_let_through() -> None:
    by = resolver(lab={**LAB, "allow_any_model": True})
    asked = ask(
        "lab/llama",
        user("Hi"),
        PDF,
        IMAGE,
        LINKED_PDF,
        assistant("So"),
        tools=(STRICT,),
        tool_choice=ToolChoice(tool_name="f", parallel=True),
        reasoning=ReasoningOptions(effort=Effort.MAX, budget_tokens=9),
    )

    call = resolve(asked, by, streaming=True)

    assert call.target.warnings == ()
    assert call.target.reasoning == asked.reasoning


def test_several_lacks_are_told_together() -> None:
    fault = refusal(ask("deepseek/latest", IMAGE, PDF, tools=(STRICT,)))

    assert "reads no images and reads no documents and cannot promise" in fault.message
    assert fields(fault) == ["messages[0].parts[1].attachment", "messages[1].parts[0].attachment", "tools[0].strict"]


def test_the_mock_is_named_in_place_of_a_mock() -> None:
    blind = Model("mock", "blind", capabilities={Capability.IMAGE_INPUT: Support(Level.NONE)})
    by = Resolver(Catalogue((*CATALOGUE.models("mock"), blind)), providers(), Limits())

    assert refusal(ask("mock/blind", IMAGE), by).metadata["models"].startswith("mock/mock-large")
