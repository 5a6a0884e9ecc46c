"""Metrics, summaries and logs count every request, rejected and restarted ones included, with what it cost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aimanager import AIError, AIManager, AIResponse
from aimanager.types.metrics import MetricsSummary
from tests.support.server_process import server_process
from tests.support.tokens import token_of, token_settings

CONFIG = """
[callers.ann]
tier = "small"
tokens = [{ann}]
[callers.boss]
role = "admin"
tier = "default"
tokens = [{boss}]
[tiers.default]
[tiers.small]
requests_per_minute = 5
"""
INTERRUPTED = "[[words: 30]] [[cut: 20 times=1]]"
REJECTED = {"INVALID_FIELD": 1, "MODEL_NOT_FOUND": 2, "RATE_LIMITED": 2}


@dataclass(frozen=True)
class Totals:
    """What a server reports after the calls."""

    streamed: AIResponse[Any]
    read: AIResponse[Any]
    own: MetricsSummary
    all_callers: MetricsSummary
    metrics: str
    lines: list[dict[str, Any]]

    def series(self, pattern: str) -> dict[str, float]:
        found = re.findall(rf"^({pattern}\{{.*\}}) (\S+)$", self.metrics, re.MULTILINE)
        return {name: float(value) for name, value in found}


def fail(client: AIManager, **options: Any) -> str:
    with pytest.raises(AIError) as raised:
        client.request("Hi", **options)
    return raised.value.reason


@pytest.fixture(scope="module")
def totals(tmp_path_factory: pytest.TempPathFactory) -> Totals:
    path: Path = tmp_path_factory.mktemp("config") / "aimanager.toml"
    path.write_text(CONFIG.format(ann=_toml("ann"), boss=_toml("boss")))
    with server_process("--config", str(path)) as server:
        options: dict[str, Any] = {"model": "mock/mock-large", "max_wait": 0, "retries": 0}
        ann, boss, stranger = (
            AIManager.gateway(server.target, token=token, **options)
            for token in (token_of("ann"), token_of("boss"), "aim_wrong")
        )
        with ann, boss, stranger:
            streamed = ann.stream(INTERRUPTED).complete()
            read = ann.request(INTERRUPTED + " ")
            assert fail(stranger) == "API_KEY_INVALID"
            assert fail(ann, model="mock/none") == "MODEL_NOT_FOUND"
            assert fail(ann, end_user_id="x" * 5000) == "INVALID_FIELD"
            assert (fail(ann, model="mock/none"), fail(ann), fail(ann)) == ("MODEL_NOT_FOUND", *["RATE_LIMITED"] * 2)
            own, all_callers = ann.metrics.get_summary(), boss.metrics.get_summary()
        metrics = server.metrics()
        server.stop()
        return Totals(streamed, read, own, all_callers, metrics, list(server.lines()))


def _toml(caller: str) -> str:
    fields = token_settings(token_of(caller)).items()
    return "{" + ", ".join(f'{name} = "{value}"' for name, value in fields) + "}"


def test_rejected_requests_count_in_the_summary_of_their_caller(totals: Totals) -> None:
    [rejected] = [row for row in totals.own.rows if not row.provider]

    assert dict(rejected.errors_by_reason) == REJECTED
    assert (totals.own.total.requests_total, totals.own.total.requests_error) == (7, 5)
    assert dict(totals.all_callers.total.errors_by_reason) == {**REJECTED, "API_KEY_INVALID": 1}


def test_rejected_requests_count_in_the_metrics(totals: Totals) -> None:
    errors = totals.series("aimanager_request_errors_total")
    expected = {**REJECTED, "API_KEY_INVALID": 1}

    assert errors == {
        f'aimanager_request_errors_total{{provider="",reason="{reason}"}}': count for reason, count in expected.items()
    }
    assert totals.series("aimanager_requests_total")[
        'aimanager_requests_total{method="unary",model="",provider=""}'
    ] == sum(expected.values())


def test_rejected_requests_are_logged_with_their_caller(totals: Totals) -> None:
    failed = [(line["caller"], line["reason"]) for line in totals.lines if line["event"] == "rpc.failed"]

    assert sorted(failed) == sorted(
        [("", "API_KEY_INVALID"), *(("ann", reason) for reason, count in REJECTED.items() for _ in range(count))]
    )


def test_what_was_lost_to_a_restart_is_part_of_every_total(totals: Totals) -> None:
    for response in (totals.streamed, totals.read):
        assert len(response.attempts) == 2
        assert response.cost is not None
        assert response.total_cost == response.cost + (response.attempts[0].cost or 0)
    assert totals.streamed.total_cost != totals.streamed.cost
    spent = sum(response.total_cost or 0 for response in (totals.streamed, totals.read))
    completed = [line for line in totals.lines if line["event"] == "request.completed"]

    assert sum(line["cost_nanos"] for line in completed) == spent * 10**9
    assert totals.own.total.cost_total == spent
    assert sum(totals.series("aimanager_cost_total").values()) == pytest.approx(float(spent))
    tokens = totals.own.total.input_tokens + totals.own.total.output_tokens
    assert sum(line["input_tokens"] + line["output_tokens"] for line in completed) == tokens
    assert list(totals.series("aimanager_request_tokens_sum").values()) == [tokens]
