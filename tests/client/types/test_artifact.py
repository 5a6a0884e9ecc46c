"""Artifacts of a response, and how they are saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimanager import AIManager, AIResponse, Artifact
from aimanager.types.artifact import MAX_DUPLICATE_NAMES, MAX_SEGMENT_LENGTH, safe_path
from aimanager.v1 import content_pb2
from aimanager.v1.generation_pb2 import GenerateResponse, StreamGenerateResponse
from tests.support.fake_gateway.messages import make_response, stream_events
from tests.support.fake_gateway.server import FakeGateway

SCRIPT = content_pb2.Artifact(
    id="artifact-1", name="app.py", mime_type="text/x-python", language="python", text="print('ü')\n"
)
PICTURE = content_pb2.Artifact(id="artifact-2", name="a.png", mime_type="image/png", data=b"\x89PNG")


def artifact_named(name: str, text: str = "x") -> Artifact:
    return Artifact(content_pb2.Artifact(id="artifact-1", name=name, text=text))


def test_response_has_artifacts(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", make_response(artifacts=[SCRIPT, PICTURE]))

    script, picture = ai.request("Hi").artifacts

    assert (script.id, script.name, script.mime_type, script.language) == (
        "artifact-1",
        "app.py",
        "text/x-python",
        "python",
    )
    assert (script.text, script.data) == ("print('ü')\n", "print('ü')\n".encode())
    assert (picture.text, picture.data) == (None, b"\x89PNG")


def test_artifacts_are_empty_by_default() -> None:
    assert AIResponse.from_proto(GenerateResponse()).artifacts == ()


def test_stream_yields_artifacts_and_response_has_them(fake: FakeGateway, ai: AIManager) -> None:
    whole = make_response("Hello.", artifacts=[SCRIPT])
    messages = stream_events(whole, "Hello.")
    fake.respond("StreamGenerate", [*messages[:2], StreamGenerateResponse(artifact=SCRIPT), *messages[2:]])

    with ai.stream("Hi") as stream:
        events = list(stream.events)

    assert events[2] == Artifact(SCRIPT)
    assert stream.response.artifacts == (Artifact(SCRIPT),)


def test_last_piece_of_a_stream_has_artifacts(fake: FakeGateway, ai: AIManager) -> None:
    messages = stream_events(make_response("Hello.", artifacts=[SCRIPT]), "Hello.")
    fake.respond("StreamGenerate", [*messages[:2], StreamGenerateResponse(artifact=SCRIPT), *messages[2:]])

    with ai.stream("Hi") as stream:
        pieces = list(stream)

    assert [piece.artifacts for piece in pieces] == [(), (Artifact(SCRIPT),)]


def test_save_creates_the_folder(tmp_path: Path) -> None:
    path = artifact_named("src/app.py", "pass").save(tmp_path / "new")

    assert path == tmp_path / "new" / "src" / "app.py"
    assert path.read_text() == "pass"


def test_save_keeps_existing_files(tmp_path: Path) -> None:
    paths = [artifact_named("app.py").save(tmp_path) for _ in range(3)]

    assert [path.name for path in paths] == ["app.py", "app-2.py", "app-3.py"]


def test_save_fails_after_too_many_files_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for number in range(2, MAX_DUPLICATE_NAMES + 1):
        (tmp_path / f"a-{number}").touch()

    with pytest.raises(OSError, match="already exist"):
        artifact_named("a").save(tmp_path)


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
def test_name_becomes_a_path_inside_the_folder(name: str, path: str) -> None:
    assert safe_path(name, "artifact-1").as_posix() == path


@pytest.mark.parametrize("name", ["x" * 500 + ".py", "x." + "y" * 500])
def test_long_name_is_shortened(name: str) -> None:
    assert len(safe_path(name, "a").name) == MAX_SEGMENT_LENGTH


def test_shortened_name_keeps_its_extension() -> None:
    assert safe_path("x" * 500 + ".py", "a").suffix == ".py"


def test_unusable_fallback_name_is_replaced() -> None:
    assert safe_path("", "..").name == "artifact"


def test_save_does_not_follow_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside" / "src").symlink_to(tmp_path / "outside")

    with pytest.raises(OSError, match="resolves to a path outside"):
        artifact_named("src/app.py").save(tmp_path / "inside")

    assert list((tmp_path / "outside").iterdir()) == []


def test_save_does_not_follow_a_linked_file(tmp_path: Path) -> None:
    (tmp_path / "app.py").symlink_to(tmp_path / "elsewhere")

    assert artifact_named("app.py").save(tmp_path).name == "app-2.py"
    assert not (tmp_path / "elsewhere").exists()
