"""What callers and admins see of the usage, quality and health that other callers cause, through a complete gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from aimanager.v1 import generation_pb2, health_pb2, metrics_pb2, quality_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.metrics_pb2_grpc import MetricsServiceStub
from aimanager.v1.quality_pb2_grpc import QualityServiceStub
from tests.support.certificates import Certificates, ClientCertificate
from tests.support.gateway import settings_with, started_gateway
from tests.support.rpc_errors import RpcFailure
from tests.support.tokens import bearer, caller_settings

CALLERS = {
    "ann": caller_settings("ann"),
    "bob": caller_settings("bob"),
    "boss": caller_settings("boss", role="admin"),
}
MODELS = {"ann": "mock/mock-small", "bob": "mock/mock-large", "": "mock/mock-medium"}
Metadata = tuple[tuple[str, str], ...]


def credentials(caller: str) -> Metadata:
    return bearer(caller) if caller else ()


def request(model: str, prompt: str = "Hello.") -> generation_pb2.GenerateRequest:
    message = {"role": "ROLE_USER", "parts": [{"text": prompt}]}
    return generation_pb2.GenerateRequest(model=model, messages=[message])  # type: ignore[list-item]


def failure_of(call: Callable[[], object]) -> RpcFailure:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return RpcFailure(raised.value)  # type: ignore[arg-type]  # the error of a synchronous call has the same methods


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    """A channel to a gateway that answered two calls of each caller, and failed one of each."""
    mock = {"options": {"faults_count": True}}
    settings = settings_with(callers=CALLERS, server={"allow_anonymous": True}, providers={"mock": mock})
    with started_gateway(settings) as target, grpc.insecure_channel(target) as channel:
        generate = GenerationServiceStub(channel).Generate
        for caller, model in MODELS.items():
            for _ in range(2):
                generate(request(model), metadata=credentials(caller))
            failing = request(model, "[[error: PROVIDER_ERROR]]")
            failure_of(partial(generate, failing, metadata=credentials(caller)))
        yield channel


def summary(channel: grpc.Channel, caller: str) -> metrics_pb2.GetMetricsSummaryResponse:
    stub: Any = MetricsServiceStub(channel)
    response: metrics_pb2.GetMetricsSummaryResponse = stub.GetMetricsSummary(
        metrics_pb2.GetMetricsSummaryRequest(), metadata=credentials(caller)
    )
    return response


@pytest.mark.parametrize("caller", ["ann", "bob", ""])
def test_a_caller_sees_only_its_own_usage(channel: grpc.Channel, caller: str) -> None:
    response = summary(channel, caller)

    assert [f"{row.provider}/{row.model}" for row in response.rows] == [MODELS[caller]]
    assert (response.total.requests, response.total.failures, response.requests_in_flight) == (3, 1, 0)
    assert response.total.output_tokens > 0


def test_an_admin_sees_the_usage_of_all_callers(channel: grpc.Channel) -> None:
    response = summary(channel, "boss")

    assert {f"{row.provider}/{row.model}" for row in response.rows} == set(MODELS.values())
    assert response.total.requests == 9


def assessed_models(channel: grpc.Channel, caller: str) -> dict[str, int]:
    stub: Any = QualityServiceStub(channel)
    response = stub.AssessProviders(quality_pb2.AssessProvidersRequest(), metadata=credentials(caller))
    return {f"{one.provider}/{each.model}": each.sample_count for one in response.providers for each in one.models}


@pytest.mark.parametrize("caller", ["ann", "bob", ""])
def test_a_caller_assesses_only_its_own_attempts(channel: grpc.Channel, caller: str) -> None:
    models = assessed_models(channel, caller)

    assert models.keys() == {MODELS[caller]}


def test_an_admin_assesses_the_attempts_of_all_callers(channel: grpc.Channel) -> None:
    assert assessed_models(channel, "boss").keys() == set(MODELS.values())


def health(channel: grpc.Channel, caller: str) -> dict[str, health_pb2.ProviderHealth]:
    stub: Any = HealthServiceStub(channel)
    response = stub.ListProviderHealth(health_pb2.ListProviderHealthRequest(), metadata=credentials(caller))
    return {report.provider: report for report in response.providers}


def watched(channel: grpc.Channel, caller: str) -> health_pb2.ProviderHealth:
    stub: Any = HealthServiceStub(channel)
    watch = stub.WatchProviderHealth(
        health_pb2.WatchProviderHealthRequest(providers=["claude"]), metadata=credentials(caller)
    )
    report: health_pb2.ProviderHealth = next(watch).provider
    watch.cancel()
    return report


@pytest.mark.parametrize("caller", ["ann", ""])
def test_a_caller_sees_the_status_of_providers_but_not_their_configuration(channel: grpc.Channel, caller: str) -> None:
    reports = [*health(channel, caller).values(), watched(channel, caller)]

    assert "API_KEY" not in str(reports)
    assert "api_key" not in str(reports)
    by_provider = {report.provider: report for report in reports}
    assert by_provider["claude"].status == health_pb2.PROVIDER_STATUS_NOT_CONFIGURED
    assert by_provider["claude"].solution == (
        "Use another provider, send your own API key, or ask the operator of the gateway."
    )
    assert by_provider["mock"].latency_p50.ToNanoseconds() > 0


def test_a_caller_does_not_see_when_and_why_calls_of_others_failed(channel: grpc.Channel) -> None:
    callers, admins = health(channel, "ann")["mock"], health(channel, "boss")["mock"]

    assert (callers.last_error_reason, callers.HasField("last_failure_time")) == ("", False)
    assert not callers.HasField("last_success_time")
    assert admins.HasField("last_success_time")
    assert (callers.status, callers.error_rate) == (admins.status, admins.error_rate)


def test_an_admin_sees_what_to_configure(channel: grpc.Channel) -> None:
    assert "ANTHROPIC_API_KEY" in health(channel, "boss")["claude"].solution
    assert "ANTHROPIC_API_KEY" in watched(channel, "boss").solution


def missing_key(channel: grpc.Channel, caller: str) -> RpcFailure:
    generate = GenerationServiceStub(channel).Generate
    return failure_of(lambda: generate(request("claude/latest"), metadata=credentials(caller)))


def test_only_an_admin_learns_the_variable_of_a_missing_key(channel: grpc.Channel) -> None:
    callers, admins = missing_key(channel, "ann"), missing_key(channel, "boss")

    assert [failure.reason for failure in (callers, admins)] == ["MISSING_CREDENTIALS"] * 2
    assert "API_KEY" not in repr(callers.trailers) + callers.message
    assert "AIManager(api_key=…)" in callers.detail(error_details_pb2.LocalizedMessage).message
    assert admins.metadata["envVar"] == "ANTHROPIC_API_KEY"


def test_without_callers_everybody_on_this_machine_is_admin() -> None:
    with started_gateway(settings_with()) as target, grpc.insecure_channel(target) as channel:
        assert "ANTHROPIC_API_KEY" in health(channel, "")["claude"].solution


def test_without_callers_nobody_is_admin_if_other_machines_can_call() -> None:
    settings = settings_with(server={"listen": "0.0.0.0:0", "allow_anonymous": True})
    with started_gateway(settings) as target, grpc.insecure_channel(target) as channel:
        assert "API_KEY" not in str(health(channel, ""))


def test_callers_named_by_certificates_see_only_their_own_usage(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)

    def channel_of(port: str, certificate: ClientCertificate) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(certificates.ca.cert_pem.bytes(), certificate.key, certificate.chain)
        return grpc.secure_channel(f"localhost:{port}", credentials)

    with started_gateway(settings_with(server={"tls": certificates.mutual_tls})) as target:
        port = target.rpartition(":")[2]
        with (
            channel_of(port, certificates.client(dns=["ann.example"])) as ann,
            channel_of(port, certificates.client(dns=["bob.example"])) as bob,
        ):
            GenerationServiceStub(ann).Generate(request(MODELS["ann"]))
            GenerationServiceStub(bob).Generate(request(MODELS["bob"]))
            seen = [[row.model for row in summary(each, "").rows] for each in (ann, bob)]

    assert seen == [["mock-small"], ["mock-large"]]
