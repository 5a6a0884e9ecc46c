"""Legal requests that take long to decode, to convert or to check, all at once."""

from __future__ import annotations

import json

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.attack.attack import Attack, Received, Target
from tests.attack.requests import ATTACKER, generate_request, open_channel, outcomes_of

ANSWER_SECONDS = 20.0
CALLS_OF_EACH_KIND = 7
MESSAGES = 4800
TOOLS, PROPERTIES = 20, 450
TEXT_BYTES = 8 * 1024 * 1024


def _requests() -> list[generation_pb2.GenerateRequest]:
    """Return a request of almost 20,000 fields, one with 0.6 MB of schemas, and one with 8 MiB of text."""
    parts = [content_pb2.Part(text="Hello")]
    messages = [content_pb2.Message(role=content_pb2.ROLE_USER, parts=parts) for _ in range(MESSAGES)]
    properties = {f"p{index:05}": {"type": "string", "title": "x" * 30} for index in range(PROPERTIES)}
    schema = json.dumps({"type": "object", "properties": properties})
    tools = [generation_pb2.Tool(name=f"tool_{index}", input_schema_json=schema) for index in range(TOOLS)]
    many_fields = generate_request()
    many_fields.messages.extend(messages)
    return [many_fields, generate_request(tools=tools), generate_request("x" * TEXT_BYTES)]


async def _send(target: Target) -> Received:
    async with open_channel(target.port) as channel:
        generate = GenerationServiceStub(channel).Generate
        requests = _requests() * CALLS_OF_EACH_KIND
        return Received(
            await outcomes_of(generate(request, metadata=ATTACKER, timeout=ANSWER_SECONDS) for request in requests)
        )


ATTACKS = (
    Attack(
        "expensive",
        f"{CALLS_OF_EACH_KIND} calls each with {MESSAGES} messages, {TOOLS} tool schemas, and 8 MiB of text, at once",
        _send,
        max_peak_mib=400.0,
    ),
)
