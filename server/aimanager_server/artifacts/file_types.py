"""What the languages and file names of deliverables mean: media types, endings and what counts as code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file. `language` is empty for what is no code; `ending` has its dot."""

    language: str
    mime_type: str
    ending: str


PLAIN = Kind("", "text/plain", ".txt")

_CODE = """
python          text/x-python               .py     py py3 python3
javascript      text/javascript             .js     js mjs cjs node
jsx             text/jsx                    .jsx
typescript      text/x-typescript           .ts     ts mts cts
tsx             text/tsx                    .tsx
java            text/x-java                 .java
kotlin          text/x-kotlin               .kt     kt kts
swift           text/x-swift                .swift
c               text/x-c                    .c      h
cpp             text/x-c++                  .cpp    c++ cc cxx hpp hh
csharp          text/x-csharp               .cs     cs c#
go              text/x-go                   .go     golang
rust            text/x-rust                 .rs     rs
ruby            text/x-ruby                 .rb     rb
php             text/x-php                  .php
perl            text/x-perl                 .pl     pl pm
lua             text/x-lua                  .lua
r               text/x-r                    .r
julia           text/x-julia                .jl     jl
scala           text/x-scala                .scala
haskell         text/x-haskell              .hs     hs
elixir          text/x-elixir               .ex     ex exs
erlang          text/x-erlang               .erl    erl
clojure         text/x-clojure              .clj    clj
dart            text/x-dart                 .dart
zig             text/x-zig                  .zig
bash            text/x-shellscript          .sh     sh shell zsh console terminal shell-session
fish            text/x-shellscript          .fish
powershell      text/x-powershell           .ps1    ps1 pwsh
batch           text/x-bat                  .bat    bat cmd
sql             application/sql             .sql    postgresql mysql sqlite plsql
graphql         application/graphql         .graphql gql
css             text/css                    .css
scss            text/x-scss                 .scss   sass
less            text/x-less                 .less
vue             text/x-vue                  .vue
svelte          text/x-svelte               .svelte
dockerfile      text/x-dockerfile           .dockerfile docker
makefile        text/x-makefile             .mk     make mk
cmake           text/x-cmake                .cmake
hcl             text/x-hcl                  .tf     tf terraform
protobuf        text/x-protobuf             .proto  proto
solidity        text/x-solidity             .sol    sol
asm             text/x-asm                  .s      s nasm assembly
matlab          text/x-matlab               .m      m
latex           application/x-tex           .tex    tex
diff            text/x-diff                 .diff   patch
"""

_OTHER = """
markdown        text/markdown               .md     md mdown mkd
html            text/html                   .html   htm xhtml
svg             image/svg+xml               .svg
mermaid         text/vnd.mermaid            .mmd    mmd
dot             text/vnd.graphviz           .dot    graphviz gv
rst             text/x-rst                  .rst
csv             text/csv                    .csv
tsv             text/tab-separated-values   .tsv
json            application/json            .json   geojson
json5           application/json5           .json5  jsonc
jsonl           application/jsonl           .jsonl  ndjson
xml             application/xml             .xml    xsd xsl xslt rss plist
yaml            application/yaml            .yaml   yml
toml            application/toml            .toml
ini             text/plain                  .ini    cfg conf properties env dotenv
text            text/plain                  .txt    txt plain plaintext output log
ics             text/calendar               .ics    ical icalendar
vcard           text/vcard                  .vcf    vcf
"""


def _rows(table: str, *, is_code: bool) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for row in table.strip().splitlines():
        language, mime_type, ending, *others = row.split()
        kind = Kind(language if is_code else "", mime_type, ending)
        kinds.update(dict.fromkeys((language, ending[1:], *others), kind))
    return kinds


KINDS: Mapping[str, Kind] = MappingProxyType({**_rows(_CODE, is_code=True), **_rows(_OTHER, is_code=False)})
"""By every name a language goes under, and by the ending of its files."""

BARE_NAMES: Mapping[str, Kind] = MappingProxyType(
    {
        **dict.fromkeys(("dockerfile", "containerfile"), KINDS["dockerfile"]),
        **dict.fromkeys(("makefile", "gnumakefile"), KINDS["makefile"]),
        **dict.fromkeys(("gemfile", "rakefile", "vagrantfile"), KINDS["ruby"]),
        **dict.fromkeys(("license", "readme", "changelog", "procfile", "notice", "authors", "caddyfile"), PLAIN),
        **dict.fromkeys((".gitignore", ".dockerignore", ".env", ".editorconfig", ".gitattributes"), PLAIN),
    }
)
"""Files that are known by their whole name, in lower case."""


def kind_of(language: str, name: str, text: str) -> Kind:
    """The kind of a deliverable with this language, file name (both may be empty) and content.

    The language counts first, unless it says no more than "text". One nobody has heard of is still a language.

    >>> kind_of("", "src/app.py", "").language, kind_of("zork", "", "") == Kind("zork", "text/plain", ".txt")
    ('python', True)
    """
    said, named = KINDS.get(language), _of_name(name)
    kind = said or named or (Kind(language, PLAIN.mime_type, PLAIN.ending) if language else PLAIN)
    if kind == KINDS["text"] and named is not None:
        kind = named
    if kind in (KINDS["xml"], KINDS["html"]) and text.lstrip()[:4].lower() == "<svg":
        return KINDS["svg"]
    return kind


def is_known(name: str) -> bool:
    """Whether a file name has an ending that means something, or is one of those that mean something whole."""
    return _of_name(name) is not None


def _of_name(name: str) -> Kind | None:
    path = PurePosixPath(name.replace("\\", "/"))
    bare = BARE_NAMES.get(path.name.lower())
    return bare or KINDS.get(path.suffix[1:].lower() if path.suffix else "")
