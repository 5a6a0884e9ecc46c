"""What callers see of errors that quote an answer, where answers are filtered."""

from __future__ import annotations

import pytest

from aimanager_server.core.errors import OutputSchemaMismatch
from aimanager_server.core.response import TextDelta
from tests.pipeline.test_safety_filters import EMAIL, MASK, Layer
from tests.support.upstream import ScriptedUpstream


@pytest.mark.parametrize("is_begun", [False, True])
async def test_errors_quote_nothing_that_is_filtered_in_answers(is_begun: bool) -> None:
    cause = ValueError("a cause")
    error = OutputSchemaMismatch(f"'type' failed at '/{EMAIL}'.", metadata={"path": f"/{EMAIL}", "keyword": "type"})
    error.__cause__ = cause
    for setting in ("mask", "block"):
        layer = Layer(output={"emails": setting})
        layer.upstream = ScriptedUpstream((TextDelta(0, "Hi "), error) if is_begun else error)

        with pytest.raises(OutputSchemaMismatch) as caught:
            await layer.events(streaming=True)

        assert caught.value.message == "'type' failed at '/[EMAIL_1]'."
        assert caught.value.metadata == {"path": "/[EMAIL_1]", "keyword": "type"}
        assert caught.value.__cause__ is cause


async def test_an_error_without_matches_is_raised_unchanged() -> None:
    error = OutputSchemaMismatch("'type' failed at '/a'.", metadata={"path": "/a"})
    layer = Layer(output=MASK)
    layer.upstream = ScriptedUpstream(error)

    with pytest.raises(OutputSchemaMismatch) as caught:
        await layer.events()

    assert caught.value is error
