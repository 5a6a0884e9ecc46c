import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.handler import Handler, compose
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream, TextDelta
from aimanager_server.pipeline.dispatch import Dispatch
from tests.support.calls import WHOLE, Upstream, call


class Provider(Upstream):
    async def probe(self) -> None: ...

    async def aclose(self) -> None: ...


async def test_the_targets_provider_is_asked() -> None:
    mock, other = Provider(), Provider()

    completion = await (await Dispatch({"mock": mock, "other": other})(call())).result()

    assert completion.message.parts == (Text("Hello."),)
    assert (len(mock.calls), len(other.calls)) == (1, 0)
    assert mock.closed == 1


async def test_an_answer_without_its_end_is_never_called_complete() -> None:
    reply = await Upstream((TextDelta(0, "Hel"),))(call())

    with pytest.raises(ProviderProtocolError):
        await reply.result()


async def test_the_first_layer_listed_is_the_first_to_see_the_call() -> None:
    seen: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
            seen.append(self.name)
            return await proceed(call)

    await (await compose([Named("a"), Named("b")], Upstream(WHOLE))(call())).result()

    assert seen == ["a", "b"]
