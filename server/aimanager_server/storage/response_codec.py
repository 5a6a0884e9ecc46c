"""Results of calls as JSON, for the store of idempotent responses."""

from __future__ import annotations

import base64
import json
from array import array
from typing import Any

from ..core.attempts import AttemptRecord
from ..core.embedding import EmbedResult
from ..core.response import Finished, FinishReason, GenerateResult, ResponseMetadata, SettingWarning
from .blobs import Blobs
from .idempotency import Result
from .turn_codec import (
    Json,
    decode_artifact,
    decode_cost,
    decode_message,
    decode_usage,
    encode_artifact,
    encode_cost,
    encode_message,
    encode_usage,
)

SINGLE_PRECISION = "f"


async def encode_result(result: Result) -> bytes:
    """Return the JSON of a result."""
    if isinstance(result, EmbedResult):
        return _dumps(_encode_embeddings(result))
    blobs = await Blobs.of_content((result.message,), result.artifacts)
    metadata, finished = result.metadata, result.finished
    return _dumps(
        {
            "kind": "generate",
            "message": encode_message(result.message, blobs),
            "artifacts": [encode_artifact(artifact, blobs) for artifact in result.artifacts],
            "data": {digest: base64.b64encode(data).decode() for digest, data in blobs.by_digest.items()},
            "finished": [
                finished.reason.value, finished.provider_reason, encode_usage(finished.usage),
                encode_cost(finished.cost), finished.latency, finished.structured_json,
            ],
            "metadata": [
                metadata.id, metadata.requested_model, metadata.provider, metadata.model,
                [_encode_attempt(attempt) for attempt in metadata.attempts],
                [[warning.field, warning.message] for warning in metadata.warnings],
                metadata.time_to_first_token, metadata.conversation_id, encode_cost(metadata.saved_cost),
                metadata.generated_at,
            ],
        }
    )  # fmt: skip


def decode_result(data: bytes) -> Result:
    """Return the result of its JSON. Times of attempts are only durations."""
    fields = json.loads(data)
    if fields["kind"] == "embed":
        return _decode_embeddings(fields)
    blobs = {digest: base64.b64decode(text) for digest, text in fields["data"].items()}
    reason, provider_reason, usage, cost, latency, structured_json = fields["finished"]
    identity, model, provider, name, attempts, warnings, first_token, conversation_id, saved, at = fields["metadata"]
    return GenerateResult(
        ResponseMetadata(
            identity, model, provider, name, tuple(map(_decode_attempt, attempts)),
            tuple(SettingWarning(*warning) for warning in warnings), first_token, conversation_id=conversation_id,
            saved_cost=decode_cost(saved), generated_at=at,
        ),
        decode_message(fields["message"], blobs),
        Finished(
            FinishReason(reason), provider_reason, decode_usage(usage), decode_cost(cost), latency, structured_json
        ),
        tuple(decode_artifact(artifact, blobs) for artifact in fields["artifacts"]),
    )  # fmt: skip


def _encode_embeddings(result: EmbedResult) -> Json:
    vectors = (vector if isinstance(vector, array) else array(SINGLE_PRECISION, vector) for vector in result.vectors)
    return {
        "kind": "embed",
        "model": [result.provider, result.model],
        "usage": encode_usage(result.usage),
        "cost": encode_cost(result.cost),
        "vectors": [[vector.typecode, base64.b64encode(vector.tobytes()).decode()] for vector in vectors],
    }


def _decode_embeddings(fields: Json) -> EmbedResult:
    vectors = tuple(array(typecode, base64.b64decode(text)) for typecode, text in fields["vectors"])
    provider, model = fields["model"]
    return EmbedResult(provider, model, vectors, decode_usage(fields["usage"]), decode_cost(fields["cost"]))


def _encode_attempt(attempt: AttemptRecord) -> list[Any]:
    usage = None if attempt.usage is None else encode_usage(attempt.usage)
    return [attempt.provider, attempt.model, attempt.error_reason, attempt.duration, usage, encode_cost(attempt.cost)]


def _decode_attempt(fields: list[Any]) -> AttemptRecord:
    provider, model, error_reason, duration, usage, cost = fields
    attempt = AttemptRecord(provider, model, 0.0)
    attempt.error_reason = error_reason
    attempt.first_content_at = attempt.ended_at = duration
    attempt.usage = None if usage is None else decode_usage(usage)
    attempt.cost = decode_cost(cost)
    return attempt


def _dumps(fields: Json) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
