import pytest

from aimanager_server.artifacts.file_types import FILE_TYPES, FileType, detect_file_type


@pytest.mark.parametrize(
    ("language", "name", "text", "expected"),
    [
        ("py", "", "", ("python", "text/x-python", ".py")),
        ("", "x.tsx", "", ("tsx", "text/tsx", ".tsx")),
        ("", "Dockerfile", "", ("dockerfile", "text/x-dockerfile", ".dockerfile")),
        ("", "LICENSE", "", ("", "text/plain", ".txt")),
        ("", "x.unheard", "", ("", "text/plain", ".txt")),
        ("md", "", "", ("", "text/markdown", ".md")),
        ("html", "", "<p>", ("", "text/html", ".html")),
        ("csv", "", "", ("", "text/csv", ".csv")),
        ("yml", "", "", ("", "application/yaml", ".yaml")),
        ("json", "", "", ("", "application/json", ".json")),
        ("svg", "", "", ("", "image/svg+xml", ".svg")),
        ("xml", "", "\n<svg xmlns='…'>", ("", "image/svg+xml", ".svg")),
        ("text", "x.py", "", ("python", "text/x-python", ".py")),
        ("text", "", "", ("", "text/plain", ".txt")),
        ("diff", "x.py", "", ("diff", "text/x-diff", ".diff")),
        ("zork", "", "", ("zork", "text/plain", ".txt")),
    ],
)
def test_language_and_filename_select_the_file_type(
    language: str, name: str, text: str, expected: tuple[str, str, str]
) -> None:
    found = detect_file_type(language, name, text)

    assert found == FileType(*expected)


def test_every_file_type_is_found_by_its_extension() -> None:
    missing = [kind for kind in FILE_TYPES.values() if FILE_TYPES[kind.extension[1:]].extension != kind.extension]

    assert missing == []
