import json
import random

import pytest

from aimanager_server.artifacts.extractor import MAX_ARTIFACTS, MAX_TOTAL_CHARACTERS, ArtifactExtractor
from aimanager_server.core.content import Artifact, Attachment, Text, ToolCall

TEXT = "A script:\n```python\nprint(1)\n```\nand data:\n~~~csv\na,b\n~~~\n"
SCRIPT = Artifact("artifact-1", "artifact-1.py", "text/x-python", "python", text="print(1)\n")
TABLE = Artifact("artifact-2", "artifact-2.csv", "text/csv", text="a,b\n")


def write_file(name: str, content: str) -> ToolCall:
    return ToolCall("call-1", "write_file", json.dumps({"path": name, "content": content}))


def extract_pieces(pieces: list[str]) -> list[Artifact]:
    extractor = ArtifactExtractor()
    found = [artifact for piece in pieces for artifact in extractor.add_text(0, piece)]
    return [*found, *extractor.complete_part(0, Text("".join(pieces)))]


def test_part_without_deltas_gives_all_its_artifacts() -> None:
    assert list(ArtifactExtractor().complete_part(0, Text(TEXT))) == [SCRIPT, TABLE]


def test_any_split_of_the_text_gives_the_same_artifacts() -> None:
    different = []

    for seed in range(50):
        cuts = sorted(random.Random(seed).choices(range(len(TEXT)), k=seed))
        pieces = [TEXT[start:end] for start, end in zip([0, *cuts], [*cuts, len(TEXT)], strict=True)]
        if extract_pieces(pieces) != [SCRIPT, TABLE]:
            different.append(pieces)

    assert different == []


def test_artifacts_are_numbered_across_parts() -> None:
    extractor = ArtifactExtractor()
    list(extractor.complete_part(0, Text(TEXT)))

    found = list(extractor.complete_part(1, write_file("a.md", "# A")))

    assert found == [Artifact("artifact-3", "a.md", "text/markdown", text="# A")]


@pytest.mark.parametrize("text", ["```\nno name\n```\n", "```python\n \n```\n", "plain", ""])
def test_text_without_language_and_name_or_without_content_gives_no_artifact(text: str) -> None:
    assert list(ArtifactExtractor().complete_part(0, Text(text))) == []


def test_attachment_gives_no_artifact() -> None:
    assert list(ArtifactExtractor().complete_part(0, Attachment("image/png", data=b"x"))) == []


def test_number_of_artifacts_is_limited() -> None:
    found = list(ArtifactExtractor().complete_part(0, Text("```py\n1\n```\n" * (MAX_ARTIFACTS + 5))))

    assert len(found) == MAX_ARTIFACTS


def test_total_characters_of_artifacts_are_limited() -> None:
    extractor, large = ArtifactExtractor(), "x" * (MAX_TOTAL_CHARACTERS // 8)

    found = [item for index in range(10) for item in extractor.complete_part(index, write_file(f"{index}.txt", large))]

    assert len(found) == 8
