"""deploy/kubernetes.yaml is valid and works as docs/kubernetes.md says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from aimanager_server.config.loader import load
from aimanager_server.config.settings import Settings
from aimanager_server.lifecycle import ABORT_SECONDS
from aimanager_server.rpc.server import CANCEL_GRACE_SECONDS, REJECTION_SECONDS
from aimanager_server.telemetry.metrics import Metrics
from tests.docs.kubernetes_manifest import (
    PLACEHOLDER_DIGEST,
    Manifest,
    documents,
    one,
    parsed,
    schema_problems,
)
from tests.support.doc_blocks import DOCS, code_blocks, commands
from tests.support.paths import ROOT

RUNS = {("kubernetes.md", "yaml"): "test_every_yaml_block_is_in_the_manifest_or_valid_in_its_place"}
COMMANDS = {
    "kubectl create secret generic aimanager-provider-keys --from-file=claude=claude.key": (
        "tests/docs/test_kubernetes.py::test_the_commands_create_what_the_manifest_refers_to"
    ),
    "kubectl apply -f deploy/kubernetes.yaml": (
        "tests/docs/test_kubernetes.py::test_the_commands_create_what_the_manifest_refers_to"
    ),
    "kubectl rollout status deployment/aimanager": (
        "tests/docs/test_kubernetes.py::test_the_commands_create_what_the_manifest_refers_to"
    ),
}

PAGE = (DOCS / "kubernetes.md").read_text("utf-8")
EXIT_SECONDS = 5.0
"""How long the process may take to exit once its calls have ended, as the page states."""


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return parsed(documents())


@pytest.fixture(scope="module")
def deployment(manifests: list[Manifest]) -> Manifest:
    return one(manifests, "Deployment")


@pytest.fixture(scope="module")
def pod_spec(deployment: Manifest) -> Manifest:
    spec: Manifest = deployment["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def settings(manifests: list[Manifest], tmp_path: Path) -> Settings:
    """The settings in the ConfigMap, with a key file that exists."""
    key_file, config = tmp_path / "claude", tmp_path / "aimanager.toml"
    key_file.write_text("sk-of-claude")
    text = one(manifests, "ConfigMap")["data"]["aimanager.toml"]
    config.write_text(text.replace("/run/secrets/aimanager/claude", str(key_file)))
    return load({}, config, {}).settings


def test_every_document_conforms_to_the_strict_schema_of_the_api(manifests: list[Manifest]) -> None:
    assert [schema_problems(manifest) for manifest in manifests] == [[]] * 7


def test_the_schema_rejects_unknown_fields_and_wrong_types(deployment: Manifest) -> None:
    spec = {**deployment["spec"], "replica": 2, "selector": {"matchLabels": {"app": 1}}}

    problems = schema_problems({**deployment, "spec": spec})

    assert sorted(problem.partition(":")[0] for problem in problems) == ["$.spec", "$.spec.selector.matchLabels.app"]


def test_every_yaml_block_is_in_the_manifest_or_valid_in_its_place(manifests: list[Manifest]) -> None:
    blocks = [block.text for block in code_blocks("kubernetes.md", "yaml")]
    in_flight, pod_monitor = (block for block in blocks if block not in documents())
    autoscaler = one(manifests, "HorizontalPodAutoscaler")
    (with_metric,) = parsed([f"metrics:\n{in_flight}"])
    scaled = {**autoscaler, "spec": {**autoscaler["spec"], **with_metric}}
    (monitor,) = parsed([pod_monitor])

    assert [document for document in documents() if document not in blocks] == []
    assert schema_problems(scaled) == []
    assert monitor["spec"]["selector"]["matchLabels"] == pod_labels(manifests)
    assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]


def test_selectors_and_names_refer_to_the_pods_of_the_deployment(manifests: list[Manifest]) -> None:
    labels = pod_labels(manifests)
    services = [manifest["spec"] for manifest in manifests if manifest["kind"] == "Service"]
    (container,) = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    port_names = {port["name"] for port in container["ports"]}

    selectors = [
        one(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(service["selector"] for service in services),
    ]

    assert selectors == [labels] * 5
    assert {port["targetPort"] for service in services for port in service["ports"]} <= port_names
    assert one(manifests, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": one(manifests, "Deployment")["metadata"]["name"],
    }


def test_ports_are_those_of_the_settings(manifests: list[Manifest], pod_spec: Manifest, settings: Settings) -> None:
    (container,) = pod_spec["containers"]
    addresses = (settings.server.listen, settings.server.health_listen, settings.server.metrics_listen)
    listening = [int(str(address).rpartition(":")[2]) for address in addresses]
    probes = [container[probe]["grpc"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    ingress = one(manifests, "NetworkPolicy")["spec"]["ingress"]
    annotations = one(manifests, "Deployment")["spec"]["template"]["metadata"]["annotations"]

    assert [port["containerPort"] for port in container["ports"]] == listening
    assert probes == [listening[1]] * 3
    assert [port["port"] for rule in ingress for port in rule["ports"]] == [listening[0], listening[2]]
    assert annotations["prometheus.io/port"] == str(listening[2])


def test_mounted_files_are_those_that_the_settings_read(manifests: list[Manifest], pod_spec: Manifest) -> None:
    (container,) = pod_spec["containers"]
    config_map = one(manifests, "ConfigMap")
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod_spec["volumes"]}

    assert volumes.keys() == mounts.keys()
    assert volumes["config"]["configMap"]["name"] == config_map["metadata"]["name"]
    assert container["args"][-1] in [f"{mounts['config']}/{name}" for name in config_map["data"]]
    files = re.findall(r'_file = "(.*)"', config_map["data"]["aimanager.toml"])
    assert files == [f"{mounts['provider-keys']}/claude"]


def test_the_commands_create_what_the_manifest_refers_to(manifests: list[Manifest], pod_spec: Manifest) -> None:
    create, apply, status = (line for block in code_blocks("kubernetes.md", "sh") for line in commands(block))
    (secret,) = (volume["secret"]["secretName"] for volume in pod_spec["volumes"] if "secret" in volume)

    assert re.fullmatch(rf"kubectl create secret generic {secret} --from-file=claude=\S+", create)
    assert (ROOT / apply.removeprefix("kubectl apply -f ")).is_file()
    assert status.endswith(f" deployment/{one(manifests, 'Deployment')['metadata']['name']}")


def test_the_container_is_unprivileged(pod_spec: Manifest) -> None:
    (container,) = pod_spec["containers"]
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert user is not None

    assert pod_spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "fsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod_spec["automountServiceAccountToken"] is False


def test_the_placeholder_is_the_digest_of_no_known_token(settings: Settings) -> None:
    (caller,) = settings.callers.values()

    assert [token.sha256 for token in caller.tokens] == [PLACEHOLDER_DIGEST]
    assert not settings.server.allow_anonymous


def test_the_grace_period_covers_the_drain(pod_spec: Manifest, settings: Settings) -> None:
    server = settings.server
    steps = (
        server.drain_delay_seconds,
        server.drain_timeout_seconds,
        REJECTION_SECONDS,
        CANCEL_GRACE_SECONDS,
        settings.storage.close_timeout_seconds + ABORT_SECONDS,
        EXIT_SECONDS,
    )
    table = re.findall(r"^\| .* \| \**([\d.]+)\** \|$", PAGE, re.MULTILINE)

    assert tuple(map(float, table)) == (*steps, sum(steps), pod_spec["terminationGracePeriodSeconds"])
    assert sum(steps) <= pod_spec["terminationGracePeriodSeconds"]


def test_the_drain_outlasts_the_longest_call(settings: Settings) -> None:
    server = settings.server

    assert max(server.unary_timeout_seconds, server.stream_timeout_seconds) <= server.drain_timeout_seconds


def test_the_server_defaults_exceed_the_default_grace_period_of_kubernetes() -> None:
    server, close_seconds = Settings().server, Settings().storage.close_timeout_seconds
    rest = REJECTION_SECONDS + CANCEL_GRACE_SECONDS + close_seconds + ABORT_SECONDS + EXIT_SECONDS

    assert f"({server.drain_delay_seconds:g} s + {server.drain_timeout_seconds:g} s + {rest:g} s)" in PAGE
    assert server.drain_delay_seconds + server.drain_timeout_seconds + rest > 30


def test_figures_are_those_of_the_readme() -> None:
    cost = (ROOT / "README.md").read_text("utf-8").partition("## Cost of a call")[2]
    figures = re.findall(r"(\d[\d.]*) (µs|kB|MiB of memory|s after its start)", cost)
    measured = {f"{number} {unit.partition(' ')[0]}" for number, unit in figures}

    assert {"697 µs", "101 µs", "40 kB", "77 MiB", "0.49 s"} <= measured
    assert [figure for figure in ("697 µs", "101 µs", "40 kB", "77 MiB", "0.49 s") if figure not in PAGE] == []


def test_derived_figures_follow_from_the_measured_ones() -> None:
    stream_ms = 50 * 101 / 1000

    assert f"50 × 101 µs = {stream_ms:.1f} ms" in PAGE
    assert f"60 × {stream_ms:.1f} ms = {60 * stream_ms / 10:.0f} % of a core" in PAGE
    assert f"512 × 40 kB = {512 * 40 / 1000:.0f} MB" in PAGE
    assert round(1e6 / 697, -2) == 1400
    assert round(1000 / stream_ms, -2) == 200


def test_quoted_defaults_are_those_of_the_server() -> None:
    settings = Settings()
    server, limits, mib = settings.server, settings.limits, 1024 * 1024
    options = (ROOT / "server/aimanager_server/rpc/server.py").read_text("utf-8")

    quoted = [
        f"`max_in_flight` ({server.max_in_flight})",
        f"`max_in_flight_per_caller` ({server.max_in_flight_per_caller})",
        f"lags by {server.max_event_loop_lag_seconds:g} s",
        f"`limits.max_message_bytes` ({limits.max_message_bytes // mib} MiB)",
        f"`limits.max_response_bytes` ({limits.max_response_bytes // mib} MiB)",
        f"up to {settings.idempotency.max_bytes // mib} MiB (`idempotency.max_bytes`)",
        f"default of {server.stream_timeout_seconds:g} s for streams",
        "after 30 minutes (`grpc.max_connection_age`",
    ]
    text = " ".join(PAGE.split())
    assert [quote for quote in quoted if quote not in text] == []
    assert '("grpc.max_connection_age_ms", 1_800_000)' in options


def test_the_image_has_the_version_of_the_project(pod_spec: Manifest) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert pod_spec["containers"][0]["image"].rpartition(":")[2] == project["version"]


def test_named_metrics_exist() -> None:
    exported = {metric.name for metric in Metrics(lambda provider, model: True).registry.collect()}
    named = {name.removesuffix("_total") for name in re.findall(r"\baimanager_\w+", PAGE)}

    assert named - exported == set()


def pod_labels(manifests: list[Manifest]) -> dict[str, str]:
    labels: dict[str, str] = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    return labels
