"""File types of artifacts: media type, file name extension, and programming language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class FileType:
    """A file type. `language` is empty unless the file is source code; `extension` includes the dot."""

    language: str
    mime_type: str
    extension: str


PLAIN_TEXT = FileType("", "text/plain", ".txt")

# Columns: language, media type, extension, other names of the language.
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


def _parse_table(table: str, *, is_code: bool) -> dict[str, FileType]:
    file_types: dict[str, FileType] = {}
    for row in table.strip().splitlines():
        language, mime_type, extension, *aliases = row.split()
        file_type = FileType(language if is_code else "", mime_type, extension)
        file_types.update(dict.fromkeys((language, extension[1:], *aliases), file_type))
    return file_types


FILE_TYPES: Mapping[str, FileType] = MappingProxyType(
    {**_parse_table(_CODE, is_code=True), **_parse_table(_OTHER, is_code=False)}
)
"""File types by language name, alias, and extension without the dot."""

KNOWN_FILENAMES: Mapping[str, FileType] = MappingProxyType(
    {
        **dict.fromkeys(("dockerfile", "containerfile"), FILE_TYPES["dockerfile"]),
        **dict.fromkeys(("makefile", "gnumakefile"), FILE_TYPES["makefile"]),
        **dict.fromkeys(("gemfile", "rakefile", "vagrantfile"), FILE_TYPES["ruby"]),
        **dict.fromkeys(("license", "readme", "changelog", "procfile", "notice", "authors", "caddyfile"), PLAIN_TEXT),
        **dict.fromkeys((".gitignore", ".dockerignore", ".env", ".editorconfig", ".gitattributes"), PLAIN_TEXT),
    }
)
"""File types of files known by their full name, in lower case."""


def detect_file_type(language: str, name: str, text: str) -> FileType:
    """Return the file type of an artifact from its language, file name (either may be empty) and content.

    The language takes precedence over the file name, except for "text". An unknown language is kept as plain text in
    that language.

    >>> detect_file_type("", "src/app.py", "").language
    'python'
    >>> detect_file_type("zork", "", "")
    FileType(language='zork', mime_type='text/plain', extension='.txt')
    """
    from_language, from_name = FILE_TYPES.get(language), _from_filename(name)
    unknown = FileType(language, PLAIN_TEXT.mime_type, PLAIN_TEXT.extension) if language else PLAIN_TEXT
    file_type = from_language or from_name or unknown
    if file_type == FILE_TYPES["text"] and from_name is not None:
        file_type = from_name
    if file_type in (FILE_TYPES["xml"], FILE_TYPES["html"]) and text.lstrip()[:4].lower() == "<svg":
        return FILE_TYPES["svg"]
    return file_type


def is_known_filename(name: str) -> bool:
    """Return whether the file name has a known extension or is known as a whole."""
    return _from_filename(name) is not None


def _from_filename(name: str) -> FileType | None:
    path = PurePosixPath(name.replace("\\", "/"))
    known = KNOWN_FILENAMES.get(path.name.lower())
    return known or FILE_TYPES.get(path.suffix[1:].lower() if path.suffix else "")
