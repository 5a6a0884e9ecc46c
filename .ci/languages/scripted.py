"""Languages whose generators are built into protoc; their gRPC plugins are used where they are installed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from protoc import generate
from toolbox import PROTO, ROOT, MissingTool, find, protos, run, version_of

DEBIAN_PLUGINS = "install protobuf-compiler-grpc"


def write_python(folder: Path) -> str:
    """Generate with the compiler of `make proto`, and import every module."""
    if sys.version_info >= (3, 14):
        raise MissingTool("grpcio-tools 1.71.0 has no wheel for Python 3.14 or newer")
    python = ROOT / "build/protoc/bin/python"
    run([os.environ.get("MAKE", "make"), "--no-print-directory", "build/protoc/.stamp"])
    out = [f"--{name}_out={folder}" for name in ("python", "pyi", "grpc_python")]
    run([python, "-m", "grpc_tools.protoc", f"-I{PROTO}", *out, *protos()])
    modules = sorted(path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py"))
    imports = "; ".join(f"import {'.'.join(module.parts)}" for module in modules)
    run([python, "-c", imports], environment={"PYTHONPATH": folder})
    return f"generated; imported with Python {version_of(python, '--version')}"


def write_csharp(folder: Path) -> str:
    """Generate C#, and parse it with Mono's compiler: the runtime libraries are on NuGet only."""
    result = _generate(folder, "csharp", "grpc_csharp_plugin", "NuGet package Grpc.Tools", "base_namespace=")
    if shutil.which("mcs") is None:
        return f"{result}; not parsed: mcs not found (install mono-mcs)"
    run(["mcs", "--parse", *sorted(folder.rglob("*.cs"))])
    return f"{result}; parsed with mcs {version_of('mcs', '--version')}"


def write_objc(folder: Path) -> str:
    """Generate Objective-C, which compiles only with Apple's Foundation and the runtimes of CocoaPods."""
    result = _generate(folder, "objc", "grpc_objective_c_plugin", "Homebrew formula grpc")
    return f"{result}; not compiled"


def write_php(folder: Path) -> str:
    """Generate PHP, and check the syntax of every file."""
    result = _generate(folder, "php", "grpc_php_plugin", DEBIAN_PLUGINS)
    if shutil.which("php") is None:
        return f"{result}; not checked: php not found (install php-cli)"
    for path in sorted(folder.rglob("*.php")):
        run(["php", "-l", path])
    return f"{result}; syntax checked with PHP {version_of('php', '--version')}"


def write_ruby(folder: Path) -> str:
    """Generate Ruby, and load every file, or check its syntax if the gem grpc is not installed."""
    result = _generate(folder, "ruby", "grpc_ruby_plugin", DEBIAN_PLUGINS)
    if shutil.which("ruby") is None:
        return f"{result}; not checked: ruby not found (install ruby)"
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*.rb"))]
    ruby = f"Ruby {version_of('ruby', '--version')}"
    if run(["ruby", "-e", 'print Gem::Specification.any? { |gem| gem.name == "grpc" }']) == "true":
        run(["ruby", "-I.", "-e", "ARGV.each { |file| require file }", *files], folder)
        return f"{result}; loaded with {ruby}"
    for path in files:
        run(["ruby", "-c", path], folder)
    return f"{result}; syntax checked with {ruby}; not loaded: gem grpc not found (install ruby-grpc)"


def _generate(folder: Path, language: str, plugin: str, provided_by: str, options: str = "") -> str:
    """Generate messages, and services if the plugin is installed; return what was generated."""
    out = [f"--{language}_out={folder}", *([f"--{language}_opt={options}"] if options else [])]
    try:
        path = find(plugin, provided_by)
    except MissingTool as missing:
        generate(*out)
        return f"messages generated; services skipped: {missing}"
    generate(*out, f"--plugin=protoc-gen-grpc={path}", f"--grpc_out={folder}")
    return "generated"
