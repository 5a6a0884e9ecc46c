"""Generate the table of docs/logs.md from the events in the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .log_events import LogEvent, log_events
from .markdown import table

DESCRIPTIONS: Mapping[str, str] = {
    "authentication.delayed": "A peer failed to authenticate several times; its further failures are delayed.",
    "circuit_breaker.closed": "The trial call succeeded: calls to the target are admitted again.",
    "circuit_breaker.half_opened": "A probe succeeded or the open interval ended: one trial call is admitted.",
    "circuit_breaker.opened": "Calls to the target are blocked after the failure `reason`.",
    "config.reload_failed": "A changed configuration has `problems`, and the previous one stays in use: **the operator "
    "must correct it**.",
    "config.reloaded": "The configuration was loaded again; `changes` is empty if it is the same.",
    "config.restart_required": "These settings of the configuration are not in use: they need a restart.",
    "config.unknown_variable": "An environment variable begins with `AIMANAGER_` but is not a setting. It is ignored; "
    "`nearest` is a variable with a similar name, or empty.",
    "conversation.turn_lost": "What was left to do after a call had ended early, to keep its cut answer or to free its "
    "conversation, failed.",
    "extension.failed": "An extension raised, took too long or returned something invalid. With `on_failure` closed "
    "its call failed, else it went on without the extension.",
    "idempotency.claim_lost": "The claim of an idempotency key could not be removed or extended in the database; it "
    "expires by itself.",
    "log_lines.dropped": "The destination took no lines for so long that `count` lines were dropped.",
    "metrics_server.failed": "The metrics could not be rendered; the scraper received status 500.",
    "metrics_server.started": "The endpoint of the metrics is open.",
    "model_list.failed": "The model list of a provider could not be fetched; the previous one stays.",
    "model_list.updated": "The model list of a provider was fetched, at startup of a plug-in or because a caller "
    "requested it.",
    "plugin.blocked": "The event loop of a plug-in did not respond and was abandoned; the plug-in gets a new one.",
    "plugin.failed": "A plug-in raised an exception; only its call failed.",
    "provider.key_rejected": "The provider rejected an API key of the server, or its quota is exhausted. The key is "
    "quarantined: **the operator must replace it**.",
    "provider.probe_crashed": "A probe failed with an internal error of the gateway.",
    "provider.probed": "A provider with an open circuit breaker was probed. `reason` is empty if it succeeded.",
    "request.cancelled": "The caller cancelled a request.",
    "request.completed": "A request succeeded.",
    "request.failed": "A request failed, after retries and fallbacks.",
    "response_cache.failed": "A response could not be read from or written to the store of the response cache; the "
    "call went on without it.",
    "rpc.crashed": "A bug of the gateway: the caller received `INTERNAL_ERROR`, and `exception` is the traceback.",
    "rpc.failed": "An RPC of any method failed, also if it was rejected before it became a request.",
    "rpc.write_failed": "A response could not be written, usually because the caller disconnected.",
    "server.draining": "The server received SIGTERM or SIGINT, reports NOT_SERVING and will stop.",
    "server.no_callable_provider": "No provider has a key or can do without: readiness stays NOT_SERVING.",
    "server.listener_reopened": "gRPC stopped accepting calls after an invalid method name; the port was reopened.",
    "server.started": "The server accepts calls. `health_port` is 0 without `health_listen`.",
    "server.stopped": "The server has stopped; `cancelled_calls` did not end within the drain timeout.",
    "storage.close_timeout": "The database did not respond when the server stopped: what was still to be stored is "
    "lost, responses of the cache and turns of interrupted calls.",
    "storage.failed": "The database of conversations could not be used; the caller received `STORAGE_UNAVAILABLE`, "
    "unless only the response cache was concerned.",
    "token.expired": "A caller used a token that has expired; once a day for each token.",
    "token.expiring": "A caller used a token that expires within 14 days; once a day for each token.",
    "token_count.estimated": "The provider could not count tokens, so the gateway estimated them.",
}
"""When each event is logged."""


def log_parts() -> dict[str, str]:
    """Return the generated parts of docs/logs.md by name."""
    return {"events": event_table(log_events(), DESCRIPTIONS)}


def event_table(events: Sequence[LogEvent], descriptions: Mapping[str, str]) -> str:
    """Return one row per event. Raises ValueError if an event has no description, or a description no event."""
    if different := {event.name for event in events} ^ descriptions.keys():
        raise ValueError(f"events without a description, or descriptions without an event: {sorted(different)}")
    rows = ([f"`{event.name}`", event.level, descriptions[event.name], _codes(event.fields)] for event in events)
    return table(["event", "level", "when", "fields"], rows)


def _codes(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
