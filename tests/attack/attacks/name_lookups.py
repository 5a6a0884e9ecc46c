"""Names in the URLs of attachments that no name server answers."""

from __future__ import annotations

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.attack.attack import Attack, Received, Target
from tests.attack.requests import ATTACKER, open_channel, outcomes_of

CALLS = 12
HANG_SECONDS = 6.0
"""How long the attacker waits, less than a look-up takes."""

MODEL = "openai/o3"
"""A model that accepts documents only as data."""


def _request(number: int) -> generation_pb2.GenerateRequest:
    uri = f"https://unanswered-{number}.example/a.pdf"
    file = content_pb2.Part(attachment=content_pb2.Attachment(mime_type="application/pdf", uri=uri))
    text = content_pb2.Part(text="Read it.")
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[text, file])
    return generation_pb2.GenerateRequest(model=MODEL, messages=[message])


async def _send_urls(target: Target) -> Received:
    async with open_channel(target.port) as channel:
        generate = GenerationServiceStub(channel).Generate
        calls = [generate(_request(number), metadata=ATTACKER, timeout=HANG_SECONDS) for number in range(CALLS)]
        return Received(await outcomes_of(calls))


ATTACKS = (
    Attack(
        "unanswered_names",
        f"{CALLS} attachments with the URL of a host whose name server never answers",
        _send_urls,
        {"server": {"fetch_attachments": True}, "providers": {"openai": {"wire": "chat_completions"}}},
        dns_fails=True,
    ),
)
