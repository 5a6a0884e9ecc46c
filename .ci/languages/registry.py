"""The languages, in the order in which they are built."""

from __future__ import annotations

from packaged import TYPESCRIPT_CLIENT, write_go, write_java, write_rust, write_typescript
from scripted import write_csharp, write_objc, write_php, write_python, write_ruby
from toolbox import ROOT, Language

TYPESCRIPT_INPUTS = tuple(
    TYPESCRIPT_CLIENT / name for name in ("package.json", "package-lock.json", "tsconfig.json", "proto")
)

LANGUAGES = {
    language.name: language
    for language in (
        Language("python", write_python, inputs=(ROOT / ".ci/requirements/protoc.txt",)),
        Language("go", write_go, ("go",)),
        Language(
            "typescript",
            write_typescript,
            ("node", "npm"),
            (*TYPESCRIPT_INPUTS, *sorted(TYPESCRIPT_CLIENT.glob("src/*.ts"))),
        ),
        Language("java", write_java, ("mvn", "javac")),
        Language("rust", write_rust, ("cargo",)),
        Language("csharp", write_csharp, ("grpc_csharp_plugin", "mcs")),
        Language("objc", write_objc, ("grpc_objective_c_plugin",)),
        Language("php", write_php, ("grpc_php_plugin", "php")),
        Language("ruby", write_ruby, ("grpc_ruby_plugin", "ruby")),
    )
}
