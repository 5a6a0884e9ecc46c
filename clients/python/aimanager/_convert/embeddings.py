"""Build the operation that embeds texts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TypeAlias

from ..options import EmbedOptions, reject_unknown
from ..types.embeddings import Embeddings
from ..v1.embedding_pb2 import EmbeddingPurpose, EmbedRequest, EmbedResponse
from .checks import require_choice, require_utf8, set_number
from .defaults import CallDefaults
from .operation import REQUEST_TIMEOUT, Operation
from .requests import provider_options_json
from .scalars import enum_words

EmbedOperation: TypeAlias = Operation[EmbedRequest, EmbedResponse, Embeddings]


def embed(inputs: str | Sequence[str], options: EmbedOptions, defaults: CallDefaults) -> EmbedOperation:
    """Describe an embedding of texts; a str is a list of one. Raises InvalidRequestError for an invalid option.

    It always has an idempotency key: a retry after a lost response is billed once.
    """
    reject_unknown("embed", options, EmbedOptions.__annotations__)
    timeout = defaults.timeout_for(options.get("timeout"), REQUEST_TIMEOUT)
    model, purpose = options.get("model"), options.get("purpose")
    number = require_choice("purpose", purpose, enum_words(EmbeddingPurpose)) if purpose else 0
    texts = [inputs] if isinstance(inputs, str) else inputs
    request = EmbedRequest(
        # The client's default model generates text, so it is not used here.
        model=defaults.qualified_model(require_utf8("model", model)) if model else "",
        inputs=[require_utf8(f"inputs[{index}]", text) for index, text in enumerate(texts)],
        purpose=EmbeddingPurpose.ValueType(number),
        provider_options_json=provider_options_json(options.get("provider_options")),
        idempotency_key=require_utf8("idempotency_key", options.get("idempotency_key") or uuid.uuid4().hex),
    )
    set_number(request, "dimensions", "dimensions", options.get("dimensions"))
    return Operation("embeddings.Embed", request, timeout, Embeddings, sends_provider_key=True, retries_rate_limit=True)
