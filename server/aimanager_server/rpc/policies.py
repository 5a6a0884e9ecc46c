"""The limits that apply to each RPC. A method without a policy cannot be registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Quota(Enum):
    """The quota of the caller's tier that a call takes one request of."""

    GENERATION = "requests_per_minute"
    """Calls that a provider works on."""
    READING = "reads_per_minute"
    """Calls that the gateway answers itself."""


class Slots(Enum):
    """The concurrency limits that a call counts towards."""

    CALLS = "calls"
    WATCHES = "watches"
    """Streams that stay open without work. They leave the slots of calls free."""


@dataclass(frozen=True, slots=True)
class RpcPolicy:
    """The limits of one method. `is_request`: metrics and usage count its calls as requests, whatever their outcome."""

    quota: Quota = Quota.READING
    slots: Slots = Slots.CALLS
    is_request: bool = False


GENERATION: Final = RpcPolicy(Quota.GENERATION, is_request=True)
TOKEN_COUNT: Final = RpcPolicy(Quota.GENERATION)
READING: Final = RpcPolicy()
WATCH: Final = RpcPolicy(slots=Slots.WATCHES)

POLICIES: Mapping[str, RpcPolicy] = MappingProxyType(
    {
        "aimanager.v1.GenerationService/Generate": GENERATION,
        "aimanager.v1.GenerationService/StreamGenerate": GENERATION,
        "aimanager.v1.EmbeddingService/Embed": GENERATION,
        "aimanager.v1.ModelService/CountTokens": TOKEN_COUNT,
        "aimanager.v1.ConversationService/CreateConversation": READING,
        "aimanager.v1.ConversationService/GetConversation": READING,
        "aimanager.v1.ConversationService/ListConversations": READING,
        "aimanager.v1.ConversationService/UpdateConversation": READING,
        "aimanager.v1.ConversationService/DeleteConversation": READING,
        "aimanager.v1.ConversationService/AppendMessages": READING,
        "aimanager.v1.ConversationService/ListMessages": READING,
        "aimanager.v1.ConversationService/PinTurn": READING,
        "aimanager.v1.ConversationService/ForkConversation": READING,
        "aimanager.v1.ConversationService/CompactConversation": GENERATION,
        "aimanager.v1.ModelService/ListModels": READING,
        "aimanager.v1.ModelService/GetModel": READING,
        "aimanager.v1.ModelService/SuggestModels": READING,
        "aimanager.v1.HealthService/ListProviderHealth": READING,
        "aimanager.v1.HealthService/WatchProviderHealth": WATCH,
        "aimanager.v1.QualityService/AssessProviders": READING,
        "aimanager.v1.MetricsService/GetMetricsSummary": READING,
        # No caller, quota and admission apply to the standard health service, which limits its watches itself.
        "grpc.health.v1.Health/Check": READING,
        "grpc.health.v1.Health/List": READING,
        "grpc.health.v1.Health/Watch": WATCH,
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": WATCH,
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": WATCH,
    }
)
"""Policies by method, without the leading slash."""
