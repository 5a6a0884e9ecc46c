"""The sizes of what a server keeps in memory, as its metrics export them."""

from __future__ import annotations

import grpc

from aimanager.v1.conversation_pb2 import CreateConversationRequest
from aimanager.v1.conversation_pb2_grpc import ConversationServiceStub
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.lifecycle import running_app
from tests.integration.faults.gateway import generate_request
from tests.support.gateway import run_in_thread, settings_with
from tests.support.metrics import sample_value


def test_the_stores_of_a_server_are_measured() -> None:
    settings = settings_with(providers={"mock": {}}, tiers={"free": {"requests_per_minute": 100}})
    with (
        run_in_thread(lambda stack: stack.enter_async_context(running_app(settings))) as (app, _),
        grpc.insecure_channel(f"127.0.0.1:{app.server.port}") as channel,
    ):
        ConversationServiceStub(channel).CreateConversation(CreateConversationRequest(title="A chat"))
        generation = GenerationServiceStub(channel)
        generation.Generate(generate_request("mock/mock-large", idempotency_key="0123456789abcdef0123456789abcdef"))

        registry = app.state.metrics.registry
        entries = {
            store: sample_value(registry, "aimanager_state_entries", store=store)
            for store in ("conversations", "idempotent_responses", "rate_limit_windows", "usage_buckets", "models")
        }
        sizes = [
            sample_value(registry, "aimanager_state_bytes", store=store)
            for store in ("conversations", "idempotent_responses")
        ]

    assert min(entries.values()) >= 1
    assert (entries["conversations"], entries["idempotent_responses"], entries["models"]) == (1, 1, 1)
    assert min(sizes) > 1000
