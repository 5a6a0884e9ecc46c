"""Rejecting models that do not support a request, and suggesting models that do."""

from __future__ import annotations

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability, Model, Support, SupportLevel
from aimanager_server.config.settings import ServerSettings
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
from aimanager_server.core.errors import CapabilityUnsupported
from tests.support.resolver import (
    CATALOG,
    LAB_SETTINGS,
    assistant_message,
    capability_error,
    generate_params,
    make_resolver,
    resolve,
    resolver_over,
    user_message,
    violated_fields,
)

IMAGE = user_message("What is it?", Attachment("image/png", data=b"png"))
PDF = user_message(Attachment("application/pdf", data=b"pdf"))
PDF_URL = user_message(Attachment("application/pdf", uri="https://a.example/x.pdf"))
STRICT = Tool("f", strict=True)


def test_image_for_a_model_without_image_input_is_rejected() -> None:
    error = capability_error(generate_params("deepseek/deepseek-v4-pro", IMAGE))

    assert violated_fields(error) == ["messages[0].parts[1].attachment"]
    assert "Model 'deepseek/deepseek-v4-pro' does not support image input." in error.message


def test_suggestions_start_with_the_same_provider_and_exclude_mock() -> None:
    names = capability_error(generate_params("deepseek/deepseek-v4-pro", IMAGE)).metadata["models"].split(", ")

    assert names[0] == "deepseek/deepseek-flash"
    assert len(names) == 5
    assert not any(name.startswith("mock/") for name in names)


def test_models_of_disabled_providers_are_not_suggested() -> None:
    resolver = make_resolver(claude={"enabled": False}, openai={"enabled": False})

    assert capability_error(generate_params("deepseek/deepseek-v4-pro", IMAGE), resolver).metadata == {
        "models": "deepseek/deepseek-flash"
    }


def test_suggested_models_meet_all_requirements() -> None:
    error = capability_error(generate_params("deepseek/deepseek-flash", IMAGE, PDF_URL))

    assert "deepseek" not in error.metadata["models"]
    assert "openai" not in error.metadata["models"]
    assert error.metadata["models"].startswith("claude/")


@pytest.mark.parametrize("model", ["claude/latest", "openai/latest", "deepseek/current", "mock/latest"])
def test_image_for_a_model_with_image_input_is_accepted(model: str) -> None:
    assert resolve(generate_params(model, IMAGE))


def test_image_in_a_tool_result_requires_image_input() -> None:
    result = ToolResult("a", "f", "", (Attachment("image/png", data=b"png"),))

    error = capability_error(
        generate_params(
            "deepseek/latest", user_message("Hi"), assistant_message(ToolCall("a", "f", "{}")), user_message(result)
        )
    )

    assert violated_fields(error) == ["messages[2].parts[0].tool_result.attachments[0]"]


@pytest.mark.parametrize(
    ("message", "reason"), [(PDF, "does not support document input"), (IMAGE, "does not support image input")]
)
def test_each_kind_of_attachment_is_reported_once(message: Message, reason: str) -> None:
    error = capability_error(generate_params("deepseek/latest", message, message))

    assert len(error.violations) == 1
    assert reason in error.message


def test_text_attachment_needs_no_document_input() -> None:
    assert resolve(generate_params("deepseek/latest", user_message(Attachment("text/plain", data=b"Hello"))))


@pytest.mark.parametrize(
    ("model", "is_supported"), [("claude/latest", True), ("openai/latest", True), ("openai/o3", False)]
)
def test_document_url_requires_a_provider_that_fetches_it(model: str, is_supported: bool) -> None:
    if is_supported:
        assert resolve(generate_params(model, PDF_URL))
    else:
        assert violated_fields(capability_error(generate_params(model, PDF_URL))) == [
            "messages[0].parts[0].attachment.uri"
        ]


def test_solution_for_an_unsupported_url_is_to_send_data() -> None:
    error = capability_error(generate_params("openai/o3", PDF_URL))

    assert error.solution.startswith("Use one of openai/")
    assert error.solution.endswith("or send the file as data, or ask the operator to set server.fetch_attachments.")


def test_solution_without_a_suitable_model_is_to_send_data() -> None:
    resolver = resolver_over(Catalog([Model("mock", "alone", url_attachments=frozenset())]))

    assert capability_error(generate_params("mock/alone", PDF_URL), resolver).solution.startswith(
        "Send the file as data, or ask"
    )


def test_several_unmet_requirements_have_the_default_solution() -> None:
    model = Model("mock", "alone", url_attachments=frozenset(), prefill=False)
    resolver = resolver_over(Catalog([model]))

    error = capability_error(generate_params("mock/alone", PDF_URL, assistant_message("So")), resolver)

    assert error.solution == CapabilityUnsupported.spec.solution


def test_fetch_attachments_setting_allows_urls_for_every_model_with_the_input() -> None:
    resolver = resolver_over(CATALOG, server=ServerSettings(fetch_attachments=True))

    assert resolve(generate_params("openai/o3", PDF_URL), resolver)
    assert violated_fields(capability_error(generate_params("deepseek/deepseek-v4-pro", PDF_URL), resolver)) == [
        "messages[0].parts[0].attachment"
    ]


@pytest.mark.parametrize("model", ["gpt-5.5-pro", "gpt-5.4-pro", "o3-pro"])
def test_model_of_another_wire_is_rejected(model: str) -> None:
    error = capability_error(generate_params(f"openai/{model}"), make_resolver(openai={"wire": "chat_completions"}))

    assert violated_fields(error) == ["model"]
    assert "requires the Responses API" in error.message
    assert "pro" not in error.metadata["models"]


@pytest.mark.parametrize("model", ["gpt-5.5-pro", "gpt-5.4-pro", "o3-pro", "gpt-6.2-sol", "gpt-4.1"])
def test_responses_wire_serves_every_model(model: str) -> None:
    assert resolve(generate_params(f"openai/{model}"))


@pytest.mark.parametrize("model", ["gpt-6-astra", "gpt-6.1-sol"])
def test_tools_while_reasoning_are_rejected_on_the_chat_completions_wire(model: str) -> None:
    params = generate_params(f"openai/{model}", tools=(Tool("f"),))

    assert resolve(params)
    assert (
        "does not support tool calling while reasoning"
        in capability_error(params, make_resolver(openai={"wire": "chat_completions"})).message
    )


@pytest.mark.parametrize(("model", "is_supported"), [("claude-opus-4-6", False), ("claude-opus-4-5", True)])
def test_prefill_requires_an_older_model(model: str, is_supported: bool) -> None:
    params = generate_params(f"claude/{model}", user_message("Count"), assistant_message("One, two,"))

    if is_supported:
        assert resolve(params)
    else:
        assert violated_fields(capability_error(params)) == ["messages[1]"]


def test_unknown_capabilities_are_not_rejected() -> None:
    resolver = make_resolver(lab={**LAB_SETTINGS, "allow_any_model": True})
    params = generate_params(
        "lab/llama",
        user_message("Hi"),
        PDF,
        IMAGE,
        PDF_URL,
        assistant_message("So"),
        tools=(STRICT,),
        tool_choice=ToolChoice(tool_name="f", parallel=True),
        reasoning=ReasoningOptions(effort=Effort.MAX, budget_tokens=9),
    )

    call = resolve(params, resolver, streaming=True)

    assert call.target.warnings == ()
    assert call.target.reasoning == params.reasoning


def test_several_unmet_requirements_are_reported_together() -> None:
    error = capability_error(generate_params("deepseek/latest", IMAGE, PDF, tools=(STRICT,)))

    assert (
        "does not support image input and does not support document input and does not support strict" in error.message
    )
    assert violated_fields(error) == [
        "messages[0].parts[1].attachment",
        "messages[1].parts[0].attachment",
        "tools[0].strict",
    ]


def test_mock_models_are_suggested_for_a_mock_model() -> None:
    blind = Model("mock", "blind", capabilities={Capability.IMAGE_INPUT: Support(SupportLevel.NONE)})
    resolver = resolver_over(Catalog((*CATALOG.models("mock"), blind)))

    assert (
        capability_error(generate_params("mock/blind", IMAGE), resolver)
        .metadata["models"]
        .startswith("mock/mock-large")
    )
