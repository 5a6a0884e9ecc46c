"""Which models there are, what they can do and what they cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ._channel import AsyncConnection, Connection
from ._scalars import moment, word, words
from ._setup import READ_SECONDS
from ._status import translated
from .errors import InvalidRequestError
from .v1 import model_pb2

PAGE = 500
NANOS = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Pricing:
    """Money per million tokens, in `currency`. Zero where the price list says nothing."""

    currency: str
    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider. `proto` is what travelled."""

    proto: model_pb2.Model

    @property
    def id(self) -> str:
        """provider/model: what a request may name."""
        return self.proto.id

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return self.proto.provider

    @property
    def display_name(self) -> str:
        """Name for people."""
        return self.proto.display_name

    @property
    def aliases(self) -> tuple[str, ...]:
        """Aliases that mean this model now."""
        return tuple(self.proto.aliases)

    @property
    def capabilities(self) -> Mapping[str, str]:
        """Support by capability: native, emulated or none. A capability that is missing is not known.

        Capabilities are streaming, image_input, document_input, tool_calling, parallel_tool_calling,
        structured_output, reasoning, prompt_caching and image_output.
        """
        return {
            word(model_pb2.Capability, row.capability): word(model_pb2.SupportLevel, row.level)
            for row in self.proto.capabilities
        }

    def supports(self, capability: str) -> bool:
        """Whether the model, or the gateway in its place, can do it."""
        return self.capabilities.get(capability) in ("native", "emulated")

    @property
    def context_window_tokens(self) -> int | None:
        """Most tokens of input and output together; None where not known."""
        return self.proto.context_window_tokens or None

    @property
    def max_output_tokens(self) -> int | None:
        """Most tokens of one answer; None where not known."""
        return self.proto.max_output_tokens or None

    @property
    def pricing(self) -> Pricing | None:
        """What it costs; None where not known."""
        if not self.proto.HasField("pricing"):
            return None
        told = self.proto.pricing
        return Pricing(
            told.currency_code,
            input=told.input_nanos_per_mtok * NANOS,
            output=told.output_nanos_per_mtok * NANOS,
            cache_read=told.cache_read_nanos_per_mtok * NANOS,
            cache_write=told.cache_write_nanos_per_mtok * NANOS,
        )

    @property
    def release_time(self) -> datetime | None:
        """When it came out, in UTC."""
        return moment(self.proto, "release_time")

    @property
    def retire_time(self) -> datetime | None:
        """When the provider shuts it down, in UTC; None where not announced."""
        return moment(self.proto, "retire_time")

    @property
    def available(self) -> bool:
        """A key is there and the circuit is not open."""
        return self.proto.available


class Models:
    """The models of a gateway."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(
        self, provider: str = "", *, capabilities: Sequence[str] = (), available_only: bool = False
    ) -> list[Model]:
        """Every model, by provider and then newest first, that has all the capabilities."""
        request = list_request(provider, capabilities, available_only=available_only)
        return [Model(model) for page in self._pages(request) for model in page.models]

    def get(self, name: str) -> Model:
        """One model, by any name a request may use. Raises InvalidModelError if there is none."""
        with translated(self._connection.endpoint.target):
            answer = self._connection.stubs.models.GetModel(
                model_pb2.GetModelRequest(model=name),
                timeout=READ_SECONDS,
                metadata=self._connection.endpoint.metadata,
            )
        return Model(answer.model)

    def _pages(self, request: model_pb2.ListModelsRequest) -> Iterator[model_pb2.ListModelsResponse]:
        page = self._page(request)
        yield page
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = self._page(request)
            yield page

    def _page(self, request: model_pb2.ListModelsRequest) -> model_pb2.ListModelsResponse:
        with translated(self._connection.endpoint.target):
            return self._connection.stubs.models.ListModels(
                request, timeout=READ_SECONDS, metadata=self._connection.endpoint.metadata
            )


class AsyncModels:
    """The models of a gateway, for asyncio."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(
        self, provider: str = "", *, capabilities: Sequence[str] = (), available_only: bool = False
    ) -> list[Model]:
        """Every model, by provider and then newest first, that has all the capabilities."""
        request = list_request(provider, capabilities, available_only=available_only)
        return [Model(model) async for page in self._pages(request) for model in page.models]

    async def get(self, name: str) -> Model:
        """One model, by any name a request may use. Raises InvalidModelError if there is none."""
        with translated(self._connection.endpoint.target):
            answer = await self._connection.stubs.models.GetModel(
                model_pb2.GetModelRequest(model=name),
                timeout=READ_SECONDS,
                metadata=self._connection.endpoint.metadata,
            )
        return Model(answer.model)

    async def _pages(self, request: model_pb2.ListModelsRequest) -> AsyncIterator[model_pb2.ListModelsResponse]:
        page = await self._page(request)
        yield page
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = await self._page(request)
            yield page

    async def _page(self, request: model_pb2.ListModelsRequest) -> model_pb2.ListModelsResponse:
        with translated(self._connection.endpoint.target):
            return await self._connection.stubs.models.ListModels(
                request, timeout=READ_SECONDS, metadata=self._connection.endpoint.metadata
            )


def list_request(provider: str, capabilities: Sequence[str], *, available_only: bool) -> model_pb2.ListModelsRequest:
    """Asks for the first page. Raises InvalidRequestError for a capability that is not known."""
    known = words(model_pb2.Capability)
    for capability in capabilities:
        if not known.get(capability):
            raise InvalidRequestError(
                f"no capability is named {capability!r}",
                solution=f"Use some of {', '.join(name for name in known if name)}.",
            )
    return model_pb2.ListModelsRequest(
        page_size=PAGE,
        provider=provider,
        capabilities=[model_pb2.Capability.ValueType(known[capability]) for capability in capabilities],
        available_only=available_only,
    )
