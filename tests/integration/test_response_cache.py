"""The response cache through a real server, over every store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from structlog.testing import capture_logs

from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from aimanager.v1.conversation_pb2 import CreateConversationRequest, DeleteConversationRequest
from aimanager.v1.conversation_pb2_grpc import ConversationServiceStub
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.app import App
from aimanager_server.lifecycle import running_app
from aimanager_server.storage.encryption import new_key_line
from tests.support.gateway import run_in_thread, settings_with
from tests.support.metrics import sample_value
from tests.support.reload import SERVER, live_gateway
from tests.support.rpc import event_kinds
from tests.support.tokens import bearer, callers

MODEL = "mock/mock-large"
USE, REFRESH = generation_pb2.CACHE_MODE_USE, generation_pb2.CACHE_MODE_REFRESH
MISS, HIT = usage_pb2.CACHE_STATUS_MISS, usage_pb2.CACHE_STATUS_HIT
PATIENCE = 60.0
"""Seconds that a lookup in the database may take on a busy machine: after the default, a call would go on without."""
Metadata = tuple[tuple[str, str], ...]


class Client:
    """The stubs of one caller, and the server it calls."""

    def __init__(self, app: App, channel: grpc.Channel, metadata: Metadata) -> None:
        self.app = app
        self.generation = GenerationServiceStub(channel)
        self.conversations = ConversationServiceStub(channel)
        self.metadata = metadata

    def ask(self, text: str = "Hi", **fields: Any) -> generation_pb2.GenerateResponse:
        return self.generation.Generate(request(text, **fields), metadata=self.metadata)

    def stream(self, text: str = "Hi", **fields: Any) -> list[generation_pb2.StreamGenerateResponse]:
        sent = generation_pb2.StreamGenerateRequest(request=request(text, **fields))
        return list(self.generation.StreamGenerate(sent, metadata=self.metadata))

    def with_metadata(self, *metadata: tuple[str, str]) -> Client:
        """Return the same client with other metadata."""
        client = Client.__new__(Client)
        client.__dict__.update(vars(self), metadata=metadata)
        return client

    def counted(self, name: str, **labels: str) -> float:
        return sample_value(self.app.state.metrics.registry, f"aimanager_{name}", **labels)


def request(text: str, mode: int = USE, **fields: Any) -> generation_pb2.GenerateRequest:
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
    policy = fields.pop("cache_policy", {"mode": mode})
    return generation_pb2.GenerateRequest(model=MODEL, messages=[message], cache_policy=policy, **fields)


def text_of(response: generation_pb2.GenerateResponse) -> str:
    return "".join(part.text for part in response.message.parts)


@contextmanager
def running(url: str = "", **sections: Any) -> Iterator[Client]:
    """Run a server with the response cache in its database, if it has one."""
    tables: dict[str, Any] = {"providers": {"mock": {}}, "callers": callers("alice", "bob"), **sections}
    if url:
        tables |= {"storage": {"url": url}, "response_cache": {"store": "storage", "lookup_timeout_seconds": PATIENCE}}
    settings = settings_with(**tables)
    with (
        run_in_thread(lambda stack: stack.enter_async_context(running_app(settings))) as (app, _),
        grpc.insecure_channel(f"127.0.0.1:{app.server.port}") as channel,
    ):
        yield Client(app, channel, bearer("alice"))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return f"sqlite+aiosqlite:///{tmp_path}/store.db" if request.param == "sqlite" else ""


def test_an_equal_request_costs_nothing(storage: str) -> None:
    with running(storage) as alice, capture_logs() as log:
        first = alice.ask("Hi")
        second = alice.ask("Hi")
        attempts = alice.counted("upstream_attempts_total", provider="mock", model="mock-large", outcome="success")
        hits = alice.counted("response_cache_requests_total", result="hit")

    assert (first.cache_status, second.cache_status) == (MISS, HIT)
    assert text_of(second) == text_of(first)
    assert second.id != first.id
    execution = second.execution
    assert (second.usage.input_tokens, second.cost.total_nanos, second.cost.estimated) == (0, 0, False)
    assert (execution.total_usage.output_tokens, execution.total_cost.total_nanos) == (0, 0)
    assert execution.saved_cost == first.cost
    assert execution.generate_time.seconds > 1_700_000_000
    assert not execution.attempts
    assert execution.HasField("latency")
    assert not first.execution.HasField("saved_cost")
    assert (attempts, hits) == (1, 1)
    completed = [entry for entry in log if entry["event"] == "request.completed"]
    assert [entry["cache_status"] for entry in completed] == ["miss", "hit"]
    assert (completed[1]["saved_cost_nanos"], completed[1]["cost_nanos"]) == (first.cost.total_nanos, 0)


def test_a_hit_is_streamed_whatever_filled_the_cache(storage: str) -> None:
    long = "[[reply: " + "word " * 500 + "]]"
    with running(storage) as alice:
        unary = alice.ask(long)
        events = alice.stream(long)
        streamed = alice.stream("Hi")
        again = alice.ask("Hi")

    deltas = [event.delta.text for event in events if event.WhichOneof("event") == "delta"]
    assert len(deltas) > 3
    assert "".join(deltas) == text_of(unary) == text_of(events[-1].completed)
    assert event_kinds([events[0], *events[-2:]]) == ["started", "part_completed", "completed"]
    assert [event.sequence for event in events] == list(range(len(events)))
    assert events[-1].completed.cache_status == again.cache_status == HIT
    assert text_of(again) == text_of(streamed[-1].completed)


def test_no_two_owners_share_a_response(storage: str) -> None:
    with running(storage, callers=callers("alice", "bob") | callers("root", role="admin")) as alice:
        key = ("x-provider-key-mock", "of-the-caller")
        owners = [
            alice, alice.with_metadata(*bearer("bob")), alice.with_metadata(*bearer("alice"), key),
            alice.with_metadata(*bearer("alice"), ("x-provider-key-mock", "another")),
            alice.with_metadata(*bearer("bob"), key), alice.with_metadata(*bearer("root")),
        ]  # fmt: skip
        first = [owner.ask().cache_status for owner in owners]
        again = [owner.ask().cache_status for owner in owners]

    assert first == [MISS] * len(owners)
    assert again == [HIT] * len(owners)


def test_callers_without_a_name_share_nothing_unless_they_are_admins() -> None:
    anonymous: dict[str, Any] = {"server": {"allow_anonymous": True}, "response_cache": {"default_mode": "use"}}
    with running(**anonymous) as alice:
        stranger, own_key = alice.with_metadata(), alice.with_metadata(("x-provider-key-mock", "k"))
        statuses = [stranger.ask().cache_status, stranger.ask().cache_status]
        warnings = [warning.field for warning in stranger.ask().warnings]
        owned = [own_key.ask().cache_status, own_key.ask().cache_status]
    with running(callers={}) as local:
        local = local.with_metadata()
        on_loopback = [local.ask().cache_status, local.ask().cache_status]

    assert statuses == [MISS, MISS]
    assert warnings == ["cache_policy"]
    assert owned == on_loopback == [MISS, HIT]


def test_a_hit_adds_a_turn_and_a_deleted_conversation_takes_its_responses_along(storage: str) -> None:
    with running(storage) as alice:
        created = [
            alice.conversations.CreateConversation(CreateConversationRequest(model=MODEL), metadata=alice.metadata)
            for _ in range(2)
        ]
        first, second = (one.conversation.id for one in created)
        answers = [alice.ask("Hi", conversation_id=one) for one in (first, second)]
        outside = alice.ask("Hi")
        delete = DeleteConversationRequest(conversation_id=first)
        alice.conversations.DeleteConversation(delete, metadata=alice.metadata)
        afterwards = alice.ask("Hi")

    assert [answer.cache_status for answer in answers] == [MISS, HIT]
    assert [answer.conversation_id for answer in answers] == [first, second]
    assert (outside.cache_status, outside.conversation_id) == (HIT, "")
    assert afterwards.cache_status == MISS


def test_hits_spend_no_token_quota() -> None:
    prompt = "[[reply: " + "word " * 300 + "]]"
    tiers = {"default": {"tokens_per_minute": 500}}
    with running(callers=callers("alice", tier="default"), tiers=tiers) as alice:
        statuses = [alice.ask(prompt).cache_status for _ in range(5)]
        with pytest.raises(grpc.RpcError) as caught:
            alice.ask(prompt, mode=REFRESH)

    assert statuses == [MISS, HIT, HIT, HIT, HIT]
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_age_of_a_hit_is_limited_and_a_bad_policy_is_rejected() -> None:
    with running() as alice:
        alice.ask()
        young = alice.ask(cache_policy={"max_age": Duration(nanos=1)})
        old = alice.ask(cache_policy={"max_age": Duration(seconds=60)})
        with pytest.raises(grpc.RpcError) as caught:
            alice.ask(cache_policy={"mode": REFRESH, "max_age": Duration(seconds=60)})

    assert (young.cache_status, old.cache_status) == (MISS, HIT)
    assert caught.value.details() == "cache_policy.max_age requires CACHE_MODE_USE."


async def test_a_reload_switches_the_cache_off_and_on_and_tells_providers_apart(tmp_path: Path) -> None:
    use, off = '[response_cache]\ndefault_mode = "use"\n', '[response_cache]\nstore = "off"\ndefault_mode = "use"\n'
    async with live_gateway(tmp_path / "a.toml", SERVER + use) as gateway:

        async def statuses(settings: str) -> list[int]:
            await gateway.reload(settings)
            return [(await gateway.generate()).cache_status for _ in range(2)]

        first = [(await gateway.generate()).cache_status for _ in range(2)]
        while_off = await statuses(SERVER + off)
        entries = gateway.metric("aimanager_state_entries", store="cached_responses")
        on_again = await statuses(SERVER + use)
        other = SERVER.replace("[providers.mock]", "[providers.mock]\noptions = {latency = 0}")
        changed = await statuses(other + use)
        await gateway.reload(other + use + "max_entries = 1\n")

        assert (first, while_off, on_again, changed) == ([MISS, HIT], [MISS, MISS], [MISS, HIT], [MISS, HIT])
        assert entries == 0
        assert gateway.metric("aimanager_state_entries", store="cached_responses") == 1


async def test_what_was_saved_is_what_the_response_cost_when_it_was_generated(tmp_path: Path) -> None:
    use = '[response_cache]\ndefault_mode = "use"\n'
    async with live_gateway(tmp_path / "a.toml", SERVER + use) as gateway:
        first = await gateway.generate()

        await gateway.reload(SERVER + use + '[models."mock/mock-large".prices]\ninput = 1000.0\noutput = 1000.0\n')
        hit = await gateway.generate()

    assert hit.cache_status == HIT
    assert hit.execution.saved_cost == first.cost


def test_a_store_that_is_gone_fails_no_call(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db"
    with running(url) as alice:
        alice.ask()
        with closing(sqlite3.connect(tmp_path / "store.db")) as database:
            database.execute("DROP TABLE cached_responses")
        answers = [alice.ask("Ho").cache_status for _ in range(2)]
        failures = alice.counted("response_cache_failures_total", operation="read")

    assert answers == [MISS, MISS]
    assert failures >= 1


def test_stored_responses_are_encrypted_and_outlive_a_restart(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(new_key_line("first"))
    url, prompt = f"sqlite+aiosqlite:///{tmp_path}/store.db", "[[reply: canary-answer]]"
    tables: dict[str, Any] = {
        "storage": {"url": url, "encryption_key_file": str(tmp_path / "keys")},
        "response_cache": {"store": "storage", "lookup_timeout_seconds": PATIENCE},
    }  # fmt: skip
    with running(**tables) as alice:
        alice.ask(prompt)
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("store.db*"))
    with running(**tables) as alice:
        again = alice.ask(prompt)

    assert b"canary-answer" not in kept
    assert (again.cache_status, text_of(again)) == (HIT, "canary-answer")
