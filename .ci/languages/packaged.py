"""Languages whose stubs become a package of that language: a Go module, an npm package, a Maven project, a crate.

Downloads go to the caches of go, npm, Maven and cargo; everything else stays in build/languages.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from pathlib import Path

from protoc import generate, protoc
from toolbox import BUILD, PROTO, ROOT, SOURCES, TOOLS, MissingTool, find, protos, run, version_of

PACKAGES = SOURCES / "packages"
TYPESCRIPT_CLIENT = ROOT / "clients/typescript"

GO_MODULE = "github.com/aimanager/aimanager/clients/go"
GO_PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
)
MAVEN_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


def write_go(folder: Path) -> str:
    """Write a Go module, and compile and vet it."""
    go = find("go", "install Go 1.26 or newer")
    bin_folder = TOOLS / "bin"
    for plugin in GO_PLUGINS:
        run([go, "install", plugin], environment={"GOBIN": bin_folder})
    plugins = [f"--plugin={path}" for path in sorted(bin_folder.glob("protoc-gen-go*"))]
    out = [f"--{name}_{end}" for name in ("go", "go-grpc") for end in (f"out={folder}", f"opt=module={GO_MODULE}")]
    generate(*plugins, *out)
    shutil.copytree(PACKAGES / "go", folder, dirs_exist_ok=True)
    run([go, "build", "-mod=readonly", "./..."], folder)
    run([go, "vet", "-mod=readonly", "./..."], folder)
    return f"generated; compiled with go {version_of(go, 'version')}"


def write_typescript(folder: Path) -> str:
    """Write the npm package of clients/typescript, generated and compiled with its own tools."""
    npm = find("npm", "install Node.js 22 or newer")
    work = TOOLS / "typescript"
    shutil.rmtree(work / "src", ignore_errors=True)
    shutil.copytree(TYPESCRIPT_CLIENT / "src", work / "src", ignore=shutil.ignore_patterns("gen"))
    for path in (*TYPESCRIPT_CLIENT.glob("*.json"), PACKAGES / "typescript/buf.gen.yaml"):
        shutil.copy(path, work)
    run([npm, "ci", "--silent", "--no-audit", "--no-fund"], work)
    run([npm, "run", "--silent", "build"], work)
    shutil.copy(work / "package.json", folder)
    shutil.copytree(work / "dist", folder / "dist")
    return f"generated; compiled with tsc {version_of(work / 'node_modules/.bin/tsc', '--version')}"


def write_java(folder: Path) -> str:
    """Write a Maven project, and compile it; without Maven, which fetches the gRPC plugin, only the messages."""
    sources = folder / "src/main/java"
    sources.mkdir(parents=True)
    shutil.copy(PACKAGES / "java/pom.xml", folder)
    try:
        mvn = find("mvn", "install maven and a JDK")
        find("javac", "install a JDK, 11 or newer")
    except MissingTool as missing:
        generate(f"--java_out={sources}")
        return f"messages generated; services skipped: {missing}"
    generate(f"--java_out={sources}", f"--plugin=protoc-gen-grpc={_java_plugin(mvn)}", f"--grpc_out={sources}")
    run([mvn, "-q", "-B", "compile"], folder)
    shutil.rmtree(folder / "target")
    return f"generated; compiled with javac {version_of('javac', '-version')}"


def write_rust(folder: Path) -> str:
    """Write a crate, and compile it."""
    cargo = find("cargo", "install Rust, see rustup.rs")
    target = {"CARGO_TARGET_DIR": BUILD / "cargo-target"}
    shutil.copytree(PACKAGES / "rust/stubs", folder, dirs_exist_ok=True)
    manifest = PACKAGES / "rust/generator/Cargo.toml"
    arguments = [PROTO, folder / "src", *(PROTO / path for path in protos())]
    run(
        [cargo, "run", "-q", "--locked", "--manifest-path", manifest, "--", *arguments],
        environment={**target, "PROTOC": protoc()},
    )
    run([cargo, "build", "-q", "--locked"], folder, target)
    return f"generated; compiled with rustc {version_of('rustc', '--version')}"


def _java_plugin(mvn: str) -> Path:
    """Return the path of protoc-gen-grpc-java, which Maven fetches in the version of the project's gRPC."""
    pom = (PACKAGES / "java/pom.xml").read_text("utf-8")
    version = re.findall(r"<grpc.version>([^<]+)</grpc.version>", pom)[0]
    systems = {"linux": "linux", "darwin": "osx", "win32": "windows"}
    machines = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch_64", "arm64": "aarch_64"}
    system, machine = systems.get(sys.platform), machines.get(platform.machine().lower())
    if system is None or machine is None:
        raise MissingTool(f"protoc-gen-grpc-java has no build for {sys.platform} on {platform.machine()}")
    path = TOOLS / f"bin/protoc-gen-grpc-java-{version}-{system}-{machine}.exe"
    if not path.is_file():
        artifact = f"io.grpc:protoc-gen-grpc-java:{version}:exe:{system}-{machine}"
        goal = [f"{MAVEN_DEPENDENCY_PLUGIN}:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={path.parent}"]
        run([mvn, "-q", "-B", *goal], TOOLS)
        path.chmod(0o755)
    return path
