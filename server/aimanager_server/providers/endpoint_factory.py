"""What an opened provider offers beside answers: vectors, counts of tokens, and its list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..catalog.catalog import Lister
    from ..core.embedding import Embedder
    from ..core.handler import Provider, TokenCounter
    from .endpoints.embeddings import EmbeddingDialect
    from .factory import Facts

NO_EMBEDDINGS = frozenset(("claude", "deepseek", "groq", "xai"))
"""Providers that publish no address for vectors. Others of the chat-completions wire may have one: asking tells."""


def embedder_of(name: str, wire: str, provider: Provider, facts: Facts) -> Embedder | None:
    """Who turns texts into vectors there; None where nobody does."""
    from .http.provider import HttpProvider
    from .mock.provider import Mock

    if isinstance(provider, Mock):
        from .mock.embeddings import MockEmbedder

        return MockEmbedder(provider)
    dialect = None if name in NO_EMBEDDINGS else _dialect(name, wire, facts)
    if dialect is None or not isinstance(provider, HttpProvider):
        return None
    from .endpoints.embeddings import HttpEmbedder

    return HttpEmbedder(provider, dialect)


def counter_of(provider: Provider) -> TokenCounter | None:
    """Who counts tokens there; None where nobody does."""
    from .http.provider import HttpProvider
    from .mock.provider import Mock

    if isinstance(provider, Mock):
        from .mock.embeddings import MockCounter

        return MockCounter(provider)
    if not isinstance(provider, HttpProvider):
        return None
    from .endpoints.token_counting import HttpCounter

    return HttpCounter(provider)


def lister_of(name: str, provider: Provider) -> Lister | None:
    """Who lists the models there; None where the catalogue knows all there are."""
    from .endpoints.model_listing import HttpLister
    from .http.provider import HttpProvider
    from .plugins.adapter import PluggedProvider

    if isinstance(provider, PluggedProvider):
        return provider
    return HttpLister(name, provider) if isinstance(provider, HttpProvider) else None


def _dialect(name: str, wire: str, facts: Facts) -> EmbeddingDialect | None:
    from .endpoints.gemini_embeddings import GeminiEmbeddings
    from .endpoints.openai_embeddings import MISTRAL, OPENAI, UNKNOWN, ChatEmbeddings

    if wire == "gemini":
        return GeminiEmbeddings(facts)
    if wire in ("chat_completions", "responses", "azure"):
        return ChatEmbeddings({"openai": OPENAI, "azure": OPENAI, "mistral": MISTRAL}.get(name, UNKNOWN))
    return None
