"""The floor: a bare grpc.aio server that returns the same messages without calling a provider."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc
import uvloop

from aimanager.v1 import content_pb2, generation_pb2, generation_pb2_grpc, usage_pb2

from .workload import ANSWER, PACE_SECONDS, PACED, TOKEN, TOKENS, WAITING


def response(text: str) -> generation_pb2.GenerateResponse:
    """Return a response with the fields that the gateway sets."""
    usage = usage_pb2.Usage(input_tokens=10, output_tokens=TOKENS, source=usage_pb2.USAGE_SOURCE_REPORTED)
    part = content_pb2.Part(text=text)
    message = content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=[part], provider="bench", model="unary")
    return generation_pb2.GenerateResponse(
        id="0123456789abcdef",
        message=message,
        finish_reason=generation_pb2.FINISH_REASON_STOP,
        provider_finish_reason="stop",
        usage=usage,
    )


class Echo(generation_pb2_grpc.GenerationServiceServicer):
    """Respond with constant text."""

    async def Generate(  # noqa: N802  # the proto names it
        self, request: generation_pb2.GenerateRequest, context: object
    ) -> generation_pb2.GenerateResponse:
        """Return the complete response."""
        return response(ANSWER)

    async def StreamGenerate(  # noqa: N802  # the proto names it
        self, request: generation_pb2.StreamGenerateRequest, context: object
    ) -> AsyncIterator[generation_pb2.StreamGenerateResponse]:
        """Yield one message per token, at the pace of the requested model."""
        model = request.request.model
        pause = PACE_SECONDS if model.endswith(PACED) else 0.0
        for sequence in range(TOKENS):
            if pause:
                await asyncio.sleep(pause)
            delta = generation_pb2.PartDelta(text=TOKEN)
            yield generation_pb2.StreamGenerateResponse(sequence=sequence, delta=delta)
            if model.endswith(WAITING):
                await asyncio.get_running_loop().create_future()
        yield generation_pb2.StreamGenerateResponse(sequence=TOKENS, completed=response(ANSWER))


async def serve(address: str) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    generation_pb2_grpc.add_GenerationServiceServicer_to_server(Echo(), server)
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
