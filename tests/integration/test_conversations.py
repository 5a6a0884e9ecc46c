"""Conversations through a real server, over every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from aimanager.v1 import content_pb2, conversation_pb2, generation_pb2, usage_pb2
from aimanager.v1.conversation_pb2 import (
    AppendMessagesRequest,
    CompactConversationRequest,
    Conversation,
    CreateConversationRequest,
    DeleteConversationRequest,
    ForkConversationRequest,
    GetConversationRequest,
    ListConversationsRequest,
    ListMessagesRequest,
    PinTurnRequest,
    UpdateConversationRequest,
)
from aimanager.v1.conversation_pb2_grpc import ConversationServiceStub
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.config.settings import Settings
from tests.integration.faults.gateway import wait_until
from tests.support.gateway import settings_with, started_gateway
from tests.support.tokens import bearer, callers

MODEL = "mock/mock-large"


class Client:
    """The stubs of one caller."""

    def __init__(self, channel: grpc.Channel, caller: str = "alice") -> None:
        self.conversations = ConversationServiceStub(channel)
        self.generation = GenerationServiceStub(channel)
        self.metadata = bearer(caller)

    def create(self, **fields: Any) -> Conversation:
        created: Conversation = self.call("CreateConversation", CreateConversationRequest(**fields)).conversation
        return created

    def call(self, method: str, request: Any) -> Any:
        return getattr(self.conversations, method)(request, metadata=self.metadata)

    def ask(self, conversation_id: str, text: str, **fields: Any) -> generation_pb2.GenerateResponse:
        fields = {"model": MODEL, **fields}
        request = generation_pb2.GenerateRequest(messages=[user(text)], conversation_id=conversation_id, **fields)
        return self.generation.Generate(request, metadata=self.metadata)

    def stream(self, conversation_id: str, text: str, **fields: Any) -> Any:
        request = generation_pb2.GenerateRequest(
            model=MODEL, messages=[user(text)], conversation_id=conversation_id, **fields
        )
        return self.generation.StreamGenerate(
            generation_pb2.StreamGenerateRequest(request=request), metadata=self.metadata
        )

    def get(self, conversation_id: str) -> Conversation:
        found = self.call("GetConversation", GetConversationRequest(conversation_id=conversation_id))
        conversation: Conversation = found.conversation
        return conversation

    def turns(self, conversation_id: str) -> list[conversation_pb2.Turn]:
        request = ListMessagesRequest(conversation_id=conversation_id, page_size=500)
        page = self.call("ListMessages", request)
        found: list[conversation_pb2.Turn] = list(page.turns)
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = self.call("ListMessages", request)
            found += page.turns
        return found

    def texts(self, conversation_id: str) -> list[list[str]]:
        return [
            [part.text for message in turn.messages for part in message.parts] for turn in self.turns(conversation_id)
        ]


def user(text: str) -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])


def reason(call: Callable[[], Any]) -> str:
    """Return the reason with which a call fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def settings(storage: str, **sections: Any) -> Settings:
    tables = {"storage": {"url": storage}} if storage else {}
    return settings_with(providers={"mock": {}}, callers=callers("alice", "bob"), **tables, **sections)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return f"sqlite+aiosqlite:///{tmp_path}/store.db" if request.param == "sqlite" else ""


@pytest.fixture
def clients(storage: str) -> Iterator[tuple[Client, Client]]:
    with started_gateway(settings(storage)) as target, grpc.insecure_channel(target) as channel:
        yield Client(channel), Client(channel, "bob")


@pytest.fixture
def alice(clients: tuple[Client, Client]) -> Client:
    return clients[0]


def test_a_conversation_remembers(alice: Client) -> None:
    started = alice.create(title="Trip", model=MODEL)

    first = alice.ask(started.id, "My name is Ada. [[reply: Hello Ada]]", model="")
    *_, last = alice.stream(started.id, "[[reply: Yes]]")

    second, found = last.completed, alice.get(started.id)
    assert first.conversation_id == second.conversation_id == started.id
    assert alice.texts(started.id) == [
        ["My name is Ada. [[reply: Hello Ada]]", "Hello Ada"],
        ["[[reply: Yes]]", "Yes"],
    ]
    assert second.usage.input_tokens > first.usage.input_tokens
    assert (found.turn_count, found.message_count, found.title) == (2, 4, "Trip")
    assert found.usage.output_tokens == first.usage.output_tokens + second.usage.output_tokens
    assert found.cost.total_nanos == first.cost.total_nanos + second.cost.total_nanos
    assert [turn.usage for turn in alice.turns(started.id)] == [first.usage, second.usage]


def test_a_failed_call_leaves_the_conversation_as_it_was(alice: Client) -> None:
    started = alice.create()

    assert reason(lambda: alice.ask(started.id, "[[error: PROVIDER_REJECTED_REQUEST]]")) == "PROVIDER_REJECTED_REQUEST"
    assert reason(lambda: alice.ask(started.id, "")) == "INVALID_FIELD"

    alice.ask(started.id, "[[reply: Good]]")
    assert alice.texts(started.id) == [["[[reply: Good]]", "Good"]]


def test_a_cut_answer_is_kept_and_marked(alice: Client) -> None:
    started = alice.create()

    failure = reason(lambda: list(alice.stream(started.id, "[[words: 9]] [[cut: 3]]")))
    alice.ask(started.id, "[[reply: Again]]")

    turn, second = alice.turns(started.id)
    assert failure == "STREAM_INTERRUPTED"
    assert turn.interrupted
    assert turn.messages[1].parts[0].text == "word1 word2 word3 "
    assert turn.usage.output_tokens > 0
    assert not second.interrupted


def test_one_call_at_a_time_adds_to_a_conversation(alice: Client) -> None:
    started = alice.create()
    call = alice.stream(started.id, "[[words: 3]] [[stall: 1]]")
    while not next(call).delta.text:
        pass

    failures = [
        reason(lambda: alice.ask(started.id, "Me too")),
        reason(
            lambda: alice.call(
                "AppendMessages", AppendMessagesRequest(conversation_id=started.id, messages=[user("x")])
            )
        ),
    ]
    call.cancel()
    wait_until(lambda: alice.get(started.id).turn_count == 1)

    assert failures == ["CONVERSATION_BUSY"] * 2
    assert alice.turns(started.id)[0].interrupted


def test_a_repeated_key_adds_one_turn(alice: Client) -> None:
    started = alice.create()

    answers = [alice.ask(started.id, "[[words: 3]]", idempotency_key="a" * 32) for _ in range(2)]

    assert answers[1].cache_status != answers[0].cache_status
    assert answers[1].message == answers[0].message
    assert alice.get(started.id).turn_count == 1
    other = alice.create()
    assert reason(lambda: alice.ask(other.id, "[[words: 3]]", idempotency_key="a" * 32)) == "INVALID_FIELD"


FOREIGN: dict[str, Callable[[str], Any]] = {
    "GetConversation": lambda one: GetConversationRequest(conversation_id=one),
    "UpdateConversation": lambda one: UpdateConversationRequest(
        conversation=Conversation(id=one, title="Mine"), update_mask=FieldMask(paths=["title"])
    ),
    "DeleteConversation": lambda one: DeleteConversationRequest(conversation_id=one),
    "AppendMessages": lambda one: AppendMessagesRequest(conversation_id=one, messages=[user("x")]),
    "ListMessages": lambda one: ListMessagesRequest(conversation_id=one),
    "PinTurn": lambda one: PinTurnRequest(conversation_id=one, turn=0, pinned=True),
    "ForkConversation": lambda one: ForkConversationRequest(conversation_id=one),
    "CompactConversation": lambda one: CompactConversationRequest(conversation_id=one, keep_turns=0),
}
"""A request of every RPC that takes an id."""


def test_a_foreign_id_is_not_found_by_any_rpc(clients: tuple[Client, Client]) -> None:
    alice, bob = clients
    started = alice.create(title="Secret", messages=[user("Secret")])
    methods = conversation_pb2.DESCRIPTOR.services_by_name["ConversationService"].methods_by_name

    reasons = {name: reason(partial(bob.call, name, request(started.id))) for name, request in FOREIGN.items()}
    reasons["Generate"] = reason(lambda: bob.ask(started.id, "What?"))
    reasons["StreamGenerate"] = reason(lambda: list(bob.stream(started.id, "What?")))

    assert set(reasons.values()) == {"CONVERSATION_NOT_FOUND"}
    assert set(methods) == {*FOREIGN, "CreateConversation", "ListConversations"}
    assert not bob.call("ListConversations", ListConversationsRequest()).conversations
    assert alice.get(started.id) == started


def test_conversations_are_listed_changed_and_deleted(alice: Client) -> None:
    created = [alice.create(title=f"Chat {number}", labels={"odd": str(number % 2)}) for number in range(5)]
    ids = [one.id for one in created]
    mask = FieldMask(paths=["title", "labels"])
    changed = alice.call(
        "UpdateConversation",
        UpdateConversationRequest(conversation=Conversation(id=ids[1], title="Best", model="no/t"), update_mask=mask),
    ).conversation
    alice.call("DeleteConversation", DeleteConversationRequest(conversation_id=ids[2]))

    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        page = alice.call("ListConversations", ListConversationsRequest(page_size=3, page_token=token))
        pages.append([one.id for one in page.conversations])
        token = page.next_page_token

    assert pages == [[ids[1], ids[4], ids[3]], [ids[0]]]
    assert (changed.title, dict(changed.labels), changed.model) == ("Best", {}, "")
    listed = alice.call("ListConversations", ListConversationsRequest(labels={"odd": "0"})).conversations
    assert [one.id for one in listed] == [ids[4], ids[0]]


def test_turns_are_appended_paged_pinned_and_forked(alice: Client) -> None:
    started = alice.create(messages=[user("first")], system_instruction="Be brief.")
    for number in range(4):
        request = AppendMessagesRequest(
            conversation_id=started.id, messages=[user(f"note {number}")], pinned=number == 2
        )
        alice.call("AppendMessages", request)
    alice.call("PinTurn", PinTurnRequest(conversation_id=started.id, turn=0, pinned=True))

    page = alice.call("ListMessages", ListMessagesRequest(conversation_id=started.id, page_size=3))
    rest = alice.call("ListMessages", ListMessagesRequest(conversation_id=started.id, page_token=page.next_page_token))
    fork = alice.call(
        "ForkConversation", ForkConversationRequest(conversation_id=started.id, turn_count=2)
    ).conversation
    alice.ask(fork.id, "[[reply: Other]]")

    assert [turn.number for turn in (*page.turns, *rest.turns)] == [0, 1, 2, 3, 4]
    assert [turn.number for turn in (*page.turns, *rest.turns) if turn.pinned] == [0, 3]
    assert rest.next_page_token == ""
    assert (fork.forked_from, fork.system_instruction) == (started.id, "Be brief.")
    assert alice.texts(fork.id) == [["first"], ["note 0"], ["[[reply: Other]]", "Other"]]
    assert alice.get(started.id).turn_count == 5


def test_a_summary_replaces_older_turns_in_prompts(alice: Client) -> None:
    started = alice.create(model=MODEL)
    for number in range(4):
        alice.ask(started.id, f"Remember {number} {'x ' * 2_000} [[reply: Noted]]")
    before = alice.ask(started.id, "[[reply: Before]]")

    request = CompactConversationRequest(conversation_id=started.id, keep_turns=1)
    compacted = alice.call("CompactConversation", request)
    after = alice.ask(started.id, "[[reply: After]]")
    again = alice.call("CompactConversation", CompactConversationRequest(conversation_id=started.id))

    assert compacted.conversation.summary.turns == 4
    assert compacted.conversation.summary.text
    assert f"{compacted.conversation.summary.provider}/{compacted.conversation.summary.model}" == MODEL
    assert compacted.usage.input_tokens > 4_000
    assert after.usage.input_tokens < before.usage.input_tokens / 2
    assert alice.get(started.id).turn_count == 6
    assert not again.HasField("usage")  # nothing to summarize
    assert (
        reason(
            lambda: alice.call(
                "CompactConversation",
                CompactConversationRequest(conversation_id=started.id, keep_turns=0, model="mock/none"),
            )
        )
        == "MODEL_NOT_FOUND"
    )
    assert alice.get(started.id).summary == compacted.conversation.summary


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("CreateConversation", CreateConversationRequest(title="x" * 257), "title"),
        ("CreateConversation", CreateConversationRequest(labels={"": "x"}), 'labels[""]'),
        ("ListConversations", ListConversationsRequest(page_size=-1), "page_size"),
        ("ListConversations", ListConversationsRequest(page_token="x"), "page_token"),
        ("ListConversations", ListConversationsRequest(page_token="bmFuIGNvbnZf"), "page_token"),
        ("UpdateConversation", UpdateConversationRequest(), "update_mask"),
        ("UpdateConversation", UpdateConversationRequest(update_mask=FieldMask(paths=["id"])), "update_mask"),
    ],
)
@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_invalid_requests_name_the_field(alice: Client, method: str, request_: Any, field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        alice.call(method, request_)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(field)


@pytest.mark.parametrize("storage", ["sqlite", "postgresql"], indirect=True)
def test_conversations_outlive_the_server(storage: str) -> None:
    with started_gateway(settings(storage)) as target, grpc.insecure_channel(target) as channel:
        alice = Client(channel)
        started = alice.create()
        first = alice.ask(started.id, "[[reply: One]]", idempotency_key="a" * 32)

    with started_gateway(settings(storage)) as target, grpc.insecure_channel(target) as channel:
        alice = Client(channel)
        again = alice.ask(started.id, "[[reply: One]]", idempotency_key="a" * 32)
        alice.ask(started.id, "[[reply: Two]]")

        assert alice.texts(started.id) == [["[[reply: One]]", "One"], ["[[reply: Two]]", "Two"]]
        assert again.cache_status == usage_pb2.CACHE_STATUS_IDEMPOTENT_REPLAY
        assert again.message == first.message
        alice.call("DeleteConversation", DeleteConversationRequest(conversation_id=started.id))
        other = alice.create()
        alice.ask(other.id, "[[reply: Three]]", idempotency_key="a" * 32)  # nothing of the deleted one is left


def test_callers_without_a_name_cannot_list_conversations() -> None:
    public = settings_with(server={"allow_anonymous": True, "listen": "0.0.0.0:0"}, providers={"mock": {}})
    with (
        started_gateway(public) as target,
        grpc.insecure_channel(f"127.0.0.1:{target.rpartition(':')[2]}") as channel,
    ):
        nobody = Client(channel)
        nobody.metadata = ()
        started = nobody.create()
        nobody.ask(started.id, "[[reply: Hello]]")

        assert reason(lambda: nobody.call("ListConversations", ListConversationsRequest())) == "ACCESS_DENIED"
        assert nobody.texts(started.id) == [["[[reply: Hello]]", "Hello"]]


def tool_call(call_id: str) -> content_pb2.Message:
    part = content_pb2.Part(tool_call=content_pb2.ToolCall(id=call_id, name="look", arguments_json="{}"))
    return content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[part])


def tool_result(call_id: str) -> content_pb2.Message:
    part = content_pb2.Part(tool_result=content_pb2.ToolResult(tool_call_id=call_id, name="look", output="seen"))
    return content_pb2.Message(role=content_pb2.ROLE_USER, parts=[part])


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_tool_calls_are_answered_by_the_next_turn_also_if_an_id_repeats(alice: Client) -> None:
    started = alice.create(model=MODEL)

    def append(*messages: content_pb2.Message) -> None:
        alice.call("AppendMessages", AppendMessagesRequest(conversation_id=started.id, messages=messages))

    append(user("Look"), tool_call("c1"))
    assert reason(lambda: append(user("Never mind"))) == "INVALID_FIELD"
    assert reason(lambda: append(tool_result("c2"))) == "INVALID_FIELD"
    append(tool_result("c1"), tool_call("c1"))  # some providers number the calls of each response
    assert reason(lambda: alice.ask(started.id, "Never mind")) == "INVALID_FIELD"
    append(tool_result("c1"))
    alice.ask(started.id, "[[reply: Good]]")

    assert alice.get(started.id).turn_count == 4


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_the_first_message_is_the_users(alice: Client) -> None:
    started = alice.create()
    request = AppendMessagesRequest(conversation_id=started.id, messages=[tool_call("c1")])

    assert reason(lambda: alice.call("AppendMessages", request)) == "INVALID_FIELD"
