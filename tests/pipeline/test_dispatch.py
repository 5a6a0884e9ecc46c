from typing import Any

import pytest

from aimanager_server.core.content import JsonObjectFormat, Text
from aimanager_server.core.errors import CapabilityUnsupported, FieldViolation, ProviderOverloaded
from aimanager_server.pipeline.dispatch import Dispatch
from tests.support.calls import make_attempt, make_call
from tests.support.structured_output import LimitedUpstream, ProviderUpstream
from tests.support.upstream import RESPONSE_EVENTS


def forms(*output_formats: JsonObjectFormat | None) -> tuple[Any, ...]:
    return tuple(make_attempt(make_call(output_format=output_format)) for output_format in output_formats)


async def test_attempt_is_sent_to_the_targets_provider() -> None:
    mock, other, attempt = ProviderUpstream(), ProviderUpstream(), make_attempt()

    result = await (await Dispatch({"mock": mock, "other": other})(attempt)).result()

    assert result.message.parts == (Text("Hello."),)
    assert (mock.requests, other.requests) == ([attempt], [])
    assert mock.closed == 1


async def test_first_form_that_the_provider_supports_is_sent() -> None:
    attempt, provider = make_attempt(), LimitedUpstream(accepts=(type(None),))
    attempt.forms = forms(JsonObjectFormat(), None, None)

    await Dispatch({"mock": provider})(attempt)

    assert provider.rejections == 1
    assert provider.requests == [attempt.forms[1]]
    assert attempt.sent is attempt.forms[1]


async def test_last_form_is_rejected_with_the_providers_error() -> None:
    attempt, provider = make_attempt(), LimitedUpstream(accepts=())
    attempt.forms = forms(JsonObjectFormat(), None)

    with pytest.raises(CapabilityUnsupported):
        await Dispatch({"mock": provider})(attempt)

    assert provider.rejections == 2


@pytest.mark.parametrize(
    "error",
    [CapabilityUnsupported("no", violations=(FieldViolation("messages[0]", "no"),)), ProviderOverloaded("busy")],
)
async def test_other_errors_do_not_try_the_next_form(error: CapabilityUnsupported | ProviderOverloaded) -> None:
    attempt, provider = make_attempt(), ProviderUpstream(error, RESPONSE_EVENTS)
    attempt.forms = forms(JsonObjectFormat(), None)

    with pytest.raises(type(error)):
        await Dispatch({"mock": provider})(attempt)

    assert len(provider.requests) == 1
