"""Read deploy/kubernetes.yaml, and run the server of its Deployment as a process on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema

from tests.support.paths import ROOT
from tests.support.tokens import token_of

MANIFEST = ROOT / "deploy" / "kubernetes.yaml"
SCHEMAS = json.loads(Path(__file__).with_name("kubernetes_schema.json").read_text("utf-8"))["kinds"]
STRUCT = """
syntax = "proto3";
import "google/protobuf/struct.proto";
message Document { google.protobuf.Struct content = 1; }
"""
PLACEHOLDER_DIGEST = "0" * 64
PLACEHOLDER_ID = "00000000"
TOKEN = token_of("team-a")

Manifest = Mapping[str, Any]


def documents() -> list[str]:
    """Return the text of each document of the manifest."""
    return MANIFEST.read_text("utf-8").split("---\n")


def parsed(documents: list[str]) -> list[Manifest]:
    """Parse YAML documents with the parser of buf, which is the one of Kubernetes' Go libraries."""
    buf = str(Path(sys.executable).with_name("buf"))
    with TemporaryDirectory() as folder:
        schema = Path(folder, "struct.proto")
        schema.write_text(STRUCT)
        command = [buf, "convert", str(schema), "--type=google.protobuf.Struct", "--from=-#format=yaml"]
        return [
            json.loads(
                subprocess.run(
                    [*command, "--to=-#format=json"], input=document, capture_output=True, text=True, check=True
                ).stdout
            )
            for document in documents
        ]


def schema_problems(manifest: Manifest) -> list[str]:
    """Return what the schema of the Kubernetes API does not allow."""
    validator = jsonschema.Draft202012Validator(SCHEMAS[manifest["kind"]])
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the only manifest of a kind."""
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


@dataclass(frozen=True, slots=True)
class Pod:
    """A running server of the Deployment, with the ports that it bound."""

    process: subprocess.Popen[str]
    port: int
    health_port: int
    metrics_port: int
    folder: Path

    @property
    def written_files(self) -> list[str]:
        """The files below the folders that the process regards as its root, home and temporary folder."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


ADDED_SETTINGS = ("--set", "server.max_event_loop_lag_seconds=30.0", "--set", "providers.mock.enabled=true")


@contextmanager
def running_pod(config_map: Manifest, deployment: Manifest, folder: Path) -> Iterator[Pod]:
    """Run the container of the Deployment with the image's entry point and environment; kill it when the block ends.

    Adapted are the ports, which are free ones, the folders of the mounts, which are below `folder`, and the id and
    digest of the caller's token, which are placeholders in the manifest. The mock provider is added. On a busy machine
    the event loop's lag rejects no call.
    """
    pod_spec = deployment["spec"]["template"]["spec"]
    (container,) = pod_spec["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    config = config_map["data"]["aimanager.toml"].replace(PLACEHOLDER_DIGEST, sha256(TOKEN.encode()).hexdigest())
    config = config.replace(PLACEHOLDER_ID, TOKEN.split("_")[1])
    config = re.sub(r'(?<=\]:)\d+(?=")', "0", config)
    for path in mounts.values():
        config = config.replace(f'"{path}/', f'"{folder}{path}/')
        (folder / path.strip("/")).mkdir(parents=True)
    (folder / mounts["config"].strip("/") / "aimanager.toml").write_text(config)
    (folder / mounts["provider-keys"].strip("/") / "claude").write_text("sk-of-claude\n")
    arguments = [f"{folder}{argument}" if argument.startswith("/") else argument for argument in container["args"]]
    environment = {**image_environment(), **{entry["name"]: entry["value"] for entry in container.get("env", ())}}
    environment |= {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder / "absent")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT / "server", ROOT / "clients" / "python")))
    with subprocess.Popen(
        [*entry_point(), *arguments, *ADDED_SETTINGS],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _started(process, folder)
        finally:
            process.kill()


def entry_point() -> list[str]:
    """Return the entry point of the container image, which the Deployment does not override."""
    found = re.search(r"^ENTRYPOINT (.*)$", _final_stage(), re.MULTILINE)
    assert found is not None
    (name,) = json.loads(found[1])
    return [str(Path(sys.executable).with_name(name))]


def image_environment() -> dict[str, str]:
    """Return the environment of the container image, without its PATH."""
    return dict(re.findall(r"((?:AIMANAGER|PYTHON)\w+)=(\S+)", _final_stage()))


def _final_stage() -> str:
    return (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]


def _started(process: subprocess.Popen[str], folder: Path) -> Pod:
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    events = {}
    for line in lines:
        event = json.loads(line)
        events[event["event"]] = event
        if event["event"] == "server.started":
            break
    # Read the rest, so that a full pipe never blocks the server.
    threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
    server, metrics = events["server.started"], events["metrics_server.started"]
    return Pod(process, server["port"], server["health_port"], metrics["port"], folder)
