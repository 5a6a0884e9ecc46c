"""What the client makes of artifacts, and where it keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimanager import AIManager, AIResponse, Artifact
from aimanager.types.artifact import LONGEST_STEP, MOST_OF_ONE_NAME, safe_path
from aimanager.v1 import content_pb2
from aimanager.v1.generation_pb2 import GenerateResponse, StreamGenerateResponse
from tests.support.console import Command
from tests.support.fake_gateway.server import FakeGateway, answer, events

SCRIPT = content_pb2.Artifact(
    id="artifact-1", name="app.py", mime_type="text/x-python", language="python", text="print('ü')\n"
)
PICTURE = content_pb2.Artifact(id="artifact-2", name="a.png", mime_type="image/png", data=b"\x89PNG")


def named(name: str, text: str = "x") -> Artifact:
    return Artifact(content_pb2.Artifact(id="artifact-1", name=name, text=text))


def test_an_answer_has_its_artifacts(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Generate", answer(artifacts=[SCRIPT, PICTURE]))

    script, picture = ai.request("Hi").artifacts

    assert (script.id, script.name, script.mime_type, script.language) == (
        "artifact-1",
        "app.py",
        "text/x-python",
        "python",
    )
    assert (script.text, script.data) == ("print('ü')\n", "print('ü')\n".encode())
    assert (picture.text, picture.data) == (None, b"\x89PNG")


def test_an_answer_without_artifacts_has_none_of_them() -> None:
    assert AIResponse(GenerateResponse()).artifacts == ()


def test_a_stream_tells_artifacts_as_they_come_and_has_them_at_its_end(fake: FakeGateway, ai: AIManager) -> None:
    whole = answer("Hello.", artifacts=[SCRIPT])
    told = events(whole, "Hello.")
    fake.will("StreamGenerate", [*told[:2], StreamGenerateResponse(artifact=SCRIPT), *told[2:]])

    with ai.stream("Hi") as stream:
        seen = list(stream.events)

    assert seen[2] == Artifact(SCRIPT)
    assert stream.response.artifacts == (Artifact(SCRIPT),)


def test_the_last_piece_of_a_stream_has_the_artifacts(fake: FakeGateway, ai: AIManager) -> None:
    told = events(answer("Hello.", artifacts=[SCRIPT]), "Hello.")
    fake.will("StreamGenerate", [*told[:2], StreamGenerateResponse(artifact=SCRIPT), *told[2:]])

    with ai.stream("Hi") as stream:
        pieces = list(stream)

    assert [piece.artifacts for piece in pieces] == [(), (Artifact(SCRIPT),)]


def test_an_artifact_is_saved_below_a_folder_that_is_made(tmp_path: Path) -> None:
    path = named("src/app.py", "pass").save(tmp_path / "new")

    assert path == tmp_path / "new" / "src" / "app.py"
    assert path.read_text() == "pass"


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    paths = [named("app.py").save(tmp_path) for _ in range(3)]

    assert [path.name for path in paths] == ["app.py", "app-2.py", "app-3.py"]


def test_there_is_an_end_to_files_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for number in range(2, MOST_OF_ONE_NAME + 1):
        (tmp_path / f"a-{number}").touch()

    with pytest.raises(OSError, match="named like"):
        named("a").save(tmp_path)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("app.py", "app.py"),
        ("src/app.py", "src/app.py"),
        ("src\\app.py", "src/app.py"),
        ("/etc/passwd", "etc/passwd"),
        ("../../x", "x"),
        ("a/../../../x", "a/x"),
        ("..", "artifact-1"),
        ("", "artifact-1"),
        (" . / .. ", "artifact-1"),
        ("...", "artifact-1"),
        ("C:\\x.txt", "C_/x.txt"),
        ("a\0b\n.txt", "a_b_.txt"),
        ("CON", "_CON"),
        ("lpt1.txt", "_lpt1.txt"),
        ("console.py", "console.py"),
        (".env", ".env"),
        ("-rf", "-rf"),
        ("/".join("abcdefghijkl"), "d/e/f/g/h/i/j/k/l"),
        ("\ud800.txt", "_.txt"),
    ],
)
def test_a_name_becomes_a_path_that_stays_inside(name: str, path: str) -> None:
    assert safe_path(name, "artifact-1").as_posix() == path


@pytest.mark.parametrize("name", ["x" * 500 + ".py", "x." + "y" * 500])
def test_a_long_name_is_cut(name: str) -> None:
    assert len(safe_path(name, "a").name) == LONGEST_STEP


def test_a_long_name_keeps_its_ending() -> None:
    assert safe_path("x" * 500 + ".py", "a").suffix == ".py"


def test_a_fallback_that_is_unfit_too_is_replaced() -> None:
    assert safe_path("", "..").name == "artifact"


def test_a_link_in_the_folder_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside" / "src").symlink_to(tmp_path / "outside")

    with pytest.raises(OSError, match="leads out of"):
        named("src/app.py").save(tmp_path / "inside")

    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "app.py").symlink_to(tmp_path / "elsewhere")

    assert named("app.py").save(tmp_path).name == "app-2.py"
    assert not (tmp_path / "elsewhere").exists()


def test_the_command_saves_artifacts(fake: FakeGateway, aimanager: Command, tmp_path: Path) -> None:
    fake.will("Generate", answer(artifacts=[SCRIPT]))

    code = aimanager("ask", "Hi", "--save-artifacts", str(tmp_path))

    assert code == 0
    assert (tmp_path / "app.py").read_text() == "print('ü')\n"
    assert f"saved {tmp_path / 'app.py'}" in aimanager.err


def test_the_command_says_why_it_cannot_save(fake: FakeGateway, aimanager: Command, tmp_path: Path) -> None:
    fake.will("Generate", answer(artifacts=[SCRIPT]))
    (tmp_path / "file").touch()

    code = aimanager("ask", "Hi", "--save-artifacts", str(tmp_path / "file"))

    assert code == 1
    assert "cannot save 'app.py'" in aimanager.err


def test_the_command_asks_for_a_schema(fake: FakeGateway, aimanager: Command, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"title": "city"}')

    assert aimanager("ask", "Hi", "--schema", str(tmp_path / "schema.json")) == 0

    assert fake.received[-1].request.output_format.json_schema.name == "city"


DEEP = '{"items":' * 100_000 + "{}" + "}" * 100_000


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "is no JSON"), ("[]", "is no JSON object"), (DEEP, "is no JSON"), (None, "cannot read")],
    ids=["garbage", "list", "deep", "missing"],
)
def test_a_schema_that_cannot_be_used_is_told(aimanager: Command, tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "schema.json").write_text(text)

    code = aimanager("ask", "Hi", "--schema", str(tmp_path / "schema.json"))

    assert code == 1
    assert told in aimanager.err
