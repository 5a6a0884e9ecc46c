"""Upstreams that cannot be reached, cannot be trusted, or let go of a connection."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.integration.faults.fault_catalog import does, keeps_silent, says
from tests.integration.faults.gateway import NEXT, attempts_of, gateway, text_of, until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Act, Upstream
from tests.integration.faults.wires import TEXT

QUICK: dict[str, Any] = {"connect_timeout_seconds": 0.3}
ONCE = {"attempts": 1}
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


@contextmanager
def black_hole() -> Iterator[str]:
    """The URL of a listener whose queue is full: the kernel drops what else tries to connect."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            for one in waiting:
                one.close()


def nobody() -> str:
    """The URL of a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


@scenario(22)
def test_a_name_that_nobody_knows_fails_over() -> None:
    lost = Upstream(says(), base_url="http://no-such-host.invalid/v1", allow_plaintext=True, **QUICK)

    with gateway(lost, Upstream(says()), retry=ONCE) as server:
        response = server.answer(fallback_models=NEXT)

    assert text_of(response) == TEXT
    assert attempts_of(response.route) == [("first", "PROVIDER_UNREACHABLE"), ("second", "")]


@scenario(22)
def test_a_port_that_nobody_listens_on_fails_over() -> None:
    with gateway(Upstream(says(), base_url=nobody(), **QUICK), Upstream(says())) as server:
        response = server.answer(fallback_models=NEXT)

    assert attempts_of(response.route)[0] == ("first", "PROVIDER_UNREACHABLE")
    assert attempts_of(response.route)[-1] == ("second", "")


@scenario(22)
def test_a_black_hole_is_waited_for_no_longer_than_a_connection_may_take() -> None:
    with (
        black_hole() as url,
        gateway(
            Upstream(says(), base_url=url, **QUICK), Upstream(says()), retry=ONCE, patience={"first_token_seconds": 9.0}
        ) as server,
    ):
        response = server.answer(fallback_models=NEXT)

    assert attempts_of(response.route)[0] == ("first", "PROVIDER_UNREACHABLE")
    assert attempts_of(response.route)[-1] == ("second", "")
    assert response.route.attempts[0].duration.ToTimedelta().total_seconds() < 2.0


@scenario(22)
def test_an_address_family_that_leads_nowhere_is_left_for_the_other() -> None:
    first = Upstream(says())
    both = Upstream(says(), **QUICK)

    with gateway(first) as reached:
        reached.answer()
        both.said["base_url"] = f"http://localhost:{first.port}/v1"
        with gateway(both) as server:
            assert text_of(server.answer()) == TEXT


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def secured(authority: trustme.CA, folder: Path, *names: str, **facts: Any) -> Upstream:
    """An upstream over TLS with a certificate for these names."""
    file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, **facts).configure_cert(context)
    return Upstream(says(), tls=context, ca_file=str(file), **QUICK)


@scenario(23)
def test_a_certificate_that_is_valid_is_accepted(authority: trustme.CA, tmp_path: Path) -> None:
    with gateway(secured(authority, tmp_path, "127.0.0.1")) as server:
        assert text_of(server.answer()) == TEXT


@scenario(23)
@pytest.mark.parametrize(
    ("name", "facts"),
    [("elsewhere.test", {}), ("127.0.0.1", {"not_after": YESTERDAY, "not_before": YESTERDAY - datetime.timedelta(1)})],
    ids=["wrong host", "expired"],
)
def test_a_certificate_that_is_not_valid_is_tried_once(
    authority: trustme.CA, tmp_path: Path, name: str, facts: dict[str, Any]
) -> None:
    first, second = secured(authority, tmp_path, name, **facts), Upstream(says())

    with gateway(first, second) as server:
        response = server.answer(fallback_models=NEXT)
        alone = server.refused()

    assert attempts_of(response.route) == [("first", "PROVIDER_UNTRUSTED"), ("second", "")]
    assert alone.attempts == [("first", "PROVIDER_UNTRUSTED")]
    assert first.requests == []


@scenario(23)
def test_a_handshake_that_stalls_is_waited_for_no_longer_than_a_connection_may_take() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/v1"
        first = Upstream(says(), base_url=url, **QUICK)
        with gateway(first, Upstream(says()), retry=ONCE, patience={"first_token_seconds": 9.0}) as server:
            response = server.answer(fallback_models=NEXT)

    assert attempts_of(response.route) == [("first", "PROVIDER_UNREACHABLE"), ("second", "")]
    assert response.route.attempts[0].duration.ToTimedelta().total_seconds() < 2.0


@scenario(24)
def test_a_pooled_connection_that_was_closed_costs_no_attempt() -> None:
    first = Upstream(says(), does(Act.CLOSE), says())

    with gateway(first) as server:
        server.answer()
        response = server.answer()

    assert text_of(response) == TEXT
    assert attempts_of(response.route) == [("first", "")]
    assert len(first.requests) == 3
    assert len(first.links) == 2


@scenario(24)
@pytest.mark.parametrize("others", [(), NEXT])
def test_where_every_connection_is_busy_the_wait_for_one_is_bounded(others: tuple[str, ...]) -> None:
    first = Upstream(keeps_silent(), says(), max_connections=1, connect_timeout_seconds=0.2)

    with gateway(first, Upstream(says()), patience={"first_token_seconds": 9.0}) as server:
        held = server.ask()
        until(lambda: bool(first.requests))
        if others:
            assert attempts_of(server.answer(fallback_models=others).route)[-1] == ("second", "")
        else:
            assert server.refused().reason == "OVERLOADED"
        held.cancel()
        until(lambda: first.open_now == 0)

        assert text_of(server.answer()) == TEXT
