"""What is authenticated is what is called: no variant of a path or header reaches a method without a token."""

from __future__ import annotations

import pytest

from tests.support.http2 import send_headers
from tests.support.rpc import RecordingHandler, build_server, callers, running, server_settings
from tests.support.tokens import token_of

GENERATE = b"/aimanager.v1.GenerationService/Generate"
CHECK = b"/grpc.health.v1.Health/Check"
TOKEN = (b"authorization", f"Bearer {token_of('ann')}".encode())
HEADERS = {
    b":method": b"POST",
    b":scheme": b"http",
    b":authority": b"here",
    b"te": b"trailers",
    b"content-type": b"application/grpc",
}


def headers_with(*more: tuple[bytes, bytes], **replaced: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a call, some of them replaced; `method` stands for `:method`."""
    pseudo = {b":" + name.encode(): value for name, value in replaced.items()}
    return [*{**HEADERS, **pseudo}.items(), *more]


@pytest.mark.parametrize(
    "path",
    [
        GENERATE,
        GENERATE + b"/",
        GENERATE + b"?",
        GENERATE + b"#",
        GENERATE + b" ",
        GENERATE + b"\0",
        b"/" + GENERATE,
        GENERATE[1:],
        GENERATE.lower(),
        GENERATE.replace(b"Generate", b"%47enerate"),
        b"/grpc.health.v1.Health/../aimanager.v1.GenerationService/Generate",
        CHECK + GENERATE,
        b"http://here" + GENERATE,
        b"*",
        b"",
    ],
)
async def test_no_variant_of_a_path_reaches_a_method_without_a_token(path: bytes) -> None:
    handler = RecordingHandler()
    async with running(build_server(handler, server_settings(callers=callers("ann")))) as gateway:
        response = await send_headers(gateway.server.port, headers_with(path=path))

    assert b"grpc-status\x010" not in response
    assert handler.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        [*headers_with(path=GENERATE), (b":authority", b"elsewhere")],
        [*headers_with(path=GENERATE), (b"host", b"elsewhere")],
        headers_with(path=GENERATE, method=b"GET"),
        headers_with(path=GENERATE, method=b"PUT"),
        headers_with((b"Authorization", TOKEN[1]), path=GENERATE),
        headers_with((b"authorization ", TOKEN[1]), path=GENERATE),
        headers_with((b"authorization-bin", TOKEN[1]), path=GENERATE),
        headers_with((b"proxy-authorization", TOKEN[1]), path=GENERATE),
        headers_with((b"x-forwarded-authorization", TOKEN[1]), path=GENERATE),
        headers_with((b"authorization", TOKEN[1] + b", Bearer x"), path=GENERATE),
        headers_with(TOKEN, (b"authorization", b"Bearer x"), path=GENERATE),
        headers_with((b"authorization", b"Bearer x"), TOKEN, path=GENERATE),
        headers_with((b"x-client-cert", b"ann"), (b"x-forwarded-client-cert", b"Subject=CN=ann"), path=GENERATE),
        headers_with((b"x-forwarded-for", b"127.0.0.1"), path=GENERATE),
    ],
)
async def test_duplicate_and_similar_headers_authenticate_nobody(headers: list[tuple[bytes, bytes]]) -> None:
    handler = RecordingHandler()
    async with running(build_server(handler, server_settings(callers=callers("ann")))) as gateway:
        response = await send_headers(gateway.server.port, headers)

    assert b"grpc-status\x010" not in response
    assert handler.calls == []


@pytest.mark.parametrize(("first", "second"), [(CHECK, GENERATE), (GENERATE, CHECK)])
async def test_of_two_paths_the_same_one_is_authenticated_and_called(first: bytes, second: bytes) -> None:
    handler = RecordingHandler()
    async with running(build_server(handler, server_settings(callers=callers("ann")))) as gateway:
        response = await send_headers(gateway.server.port, [*headers_with(path=first), (b":path", second)])

    # gRPC calls the method of the last path. Only the health service needs no token.
    assert (b"grpc-status\x010" in response) is (second == CHECK)
    assert handler.calls == []


async def test_the_same_headers_with_one_token_reach_the_method() -> None:
    settings = server_settings(callers=callers("ann"))
    async with running(build_server(settings=settings)) as gateway:
        response = await send_headers(gateway.server.port, headers_with(TOKEN, path=GENERATE))

    assert b"grpc-status\x013" in response  # INVALID_ARGUMENT: an empty request has no messages
