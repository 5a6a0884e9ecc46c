"""What callers may do that are not configured."""

from __future__ import annotations

import pytest

from aimanager_server.config.callers import UnknownCallers
from aimanager_server.core.errors import Unauthenticated
from aimanager_server.rpc.caller_directory import CallerDirectory
from tests.support.rpc import server_settings
from tests.support.tokens import callers, token_of


def directory(permitted: UnknownCallers, *names: str) -> CallerDirectory:
    return CallerDirectory(server_settings(callers=callers(*names)), lambda: 0.0, permitted)


@pytest.mark.parametrize("permitted", UnknownCallers)
def test_a_reload_never_gives_anonymous_callers_more_rights(permitted: UnknownCallers) -> None:
    found = directory(permitted)

    assert found.anonymous.is_admin is (permitted is UnknownCallers.ADMINS)
    assert found.accepts_unknown is (permitted is not UnknownCallers.REJECTED)


def test_callers_of_a_server_that_knows_none_any_more_are_rejected() -> None:
    found = directory(UnknownCallers.REJECTED)

    with pytest.raises(Unauthenticated, match="Invalid gateway token"):
        found.by_token(token_of("ann"))
    with pytest.raises(Unauthenticated):
        found.by_certificate(["ann"])


def test_a_certificate_names_any_caller_only_where_none_were_configured() -> None:
    assert directory(UnknownCallers.ACCEPTED).by_certificate(["ann"]).name == "ann"
    with pytest.raises(Unauthenticated):
        directory(UnknownCallers.ACCEPTED, "bob").by_certificate(["ann"])
