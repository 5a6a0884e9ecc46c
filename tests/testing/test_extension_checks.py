"""`check_extension` finds what the gateway would reject."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.extensions import ContentBlocked, ExtensionCall, ExtensionRequest, ExtensionResponse
from aimanager_server.testing import check_extension
from tests.support.extensions import DictTagging, Tagging, Watching


@pytest.mark.parametrize("extension", [Tagging(), Watching(), DictTagging()])
async def test_a_correct_extension_passes(extension: Any) -> None:
    await check_extension(extension)


class Refusing(Tagging):
    async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> ExtensionRequest:
        raise ContentBlocked("no")


async def test_a_refusal_is_no_problem() -> None:
    await check_extension(Refusing())


class Nameless(Tagging):
    name = ""

    def __init__(self) -> None: ...


class Untyped(Tagging):
    async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> ExtensionRequest:
        return replace(request, system_instruction=None)  # type: ignore[arg-type]  # the fault under test


class Empty(Tagging):
    async def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> ExtensionResponse:
        return replace(response, parts=())


class Raising(Tagging):
    async def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> ExtensionResponse:
        raise KeyError(call.id)


class Slow(Tagging):
    def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> Any:
        sum(range(20_000_000))


@pytest.mark.parametrize(
    ("extension", "problem"),
    [
        (Nameless(), "name must be 1 to 63 characters"),
        (Untyped(), "Extension 'tagging' returned an invalid request: system_instruction must be a valid str"),
        (Empty(), "Extension 'tagging' returned an invalid response: parts must have at least 1 item, got 0"),
        (Raising(), "Extension 'tagging' failed with KeyError in on_completion."),
        (Slow(), "it keeps the event loop busy for more than 0.1 s"),
    ],
)
async def test_each_mistake_is_reported_once(extension: Any, problem: str) -> None:
    with pytest.raises(AssertionError) as caught:
        await check_extension(extension)

    assert str(caught.value).count(problem) == 1
