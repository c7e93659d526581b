"""What the Dockerfile's words become, and that nothing in it is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dockerfile", reason="it has no wheel for this platform")

from tests.image.recipe import Copy, NotUnderstood, Run, Stage, Workdir, read

BASE = {"PATH": "/usr/bin"}


def stages(tmp_path: Path, text: str) -> list[Stage]:
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    return read(path, BASE)


def test_stages_have_bases_with_arguments_in_them_and_names(tmp_path: Path) -> None:
    build, last = stages(tmp_path, "ARG V=3.11\nFROM python:${V} AS build\nFROM python:$V-slim\n")
    assert (build.base, build.name) == ("python:3.11", "build")
    assert (last.base, last.name) == ("python:3.11-slim", "1")


def test_a_step_knows_what_was_set_before_it(tmp_path: Path) -> None:
    text = (
        'FROM x\nENV A=1 B="two words" PATH=/opt:$PATH\nWORKDIR /src\nRUN a\nENV A=2\nRUN ["b"]\n'
    )
    (stage,) = stages(tmp_path, text)
    directory, first, second = stage.steps
    assert directory == Workdir("WORKDIR /src", "/src")
    assert isinstance(first, Run) and isinstance(second, Run)
    assert first.argv == ("/bin/sh", "-c", "a") and second.argv == ("b",)
    assert first.environment == {"A": "1", "B": "two words", "PATH": "/opt:/usr/bin"}
    assert second.environment["A"] == "2"
    assert first.directory == "/src"


def test_copies_go_into_folders_and_come_from_stages(tmp_path: Path) -> None:
    text = "FROM x AS a\nWORKDIR /src\nCOPY one two ./\nCOPY ext ext\nFROM x\nCOPY --from=a /b /c\n"
    first, second = stages(tmp_path, text)
    _, into, folder = first.steps
    assert isinstance(into, Copy) and isinstance(folder, Copy)
    assert (into.sources, into.target, into.into) == (("one", "two"), "/src", True)
    assert (folder.target, folder.into, folder.origin) == ("/src/ext", False, None)
    (other,) = second.steps
    assert isinstance(other, Copy)
    assert (other.sources, other.target, other.origin) == (("/b",), "/c", "a")


def test_an_image_is_told_how_to_be_run(tmp_path: Path) -> None:
    text = (
        'FROM x\nUSER 1:2\nEXPOSE 1 2/tcp\nSTOPSIGNAL SIGINT\nLABEL a="b c" d=e\nENTRYPOINT ["x"]\n'
        'CMD ["y"]\nHEALTHCHECK --interval=2m --timeout=3s CMD ["x", "z"]\n'
    )
    settings = stages(tmp_path, text)[0].settings
    assert (settings.user, settings.ports, settings.stop_signal) == ("1:2", (1, 2), "SIGINT")
    assert settings.labels == {"a": "b c", "d": "e"}
    assert settings.entrypoint + settings.command == ("x", "y")
    assert settings.health is not None
    assert settings.health.command == ("x", "z")
    assert settings.health.seconds("interval") == 120 and settings.health.seconds("timeout") == 3


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("FROM x\nADD a b\n", 2, "ADD is not performed here"),
        ("FROM x\nEXPOSE 80-90\n", 2, "EXPOSE is not performed as it stands here"),
        ("FROM x\nVOLUME /data\n", 2, "VOLUME is not performed here"),
        ("FROM x\n\nRUN --mount=type=cache,target=/c a\n", 3, "--mount=type=cache,target=/c"),
        ("FROM x\nCOPY --chown=1 a b\n", 2, "--chown=1 is not performed here"),
        ("FROM x\nCOPY --from=gone a b\n", 2, "there is no stage 'gone' above"),
        ("FROM x\nCOPY a b c\n", 2, "several files"),
        ("FROM x\nENV A=$GONE\n", 2, "the variable 'GONE' has no value"),
        ("FROM x\nENV A=${B:-c}\n", 2, "of variables only $NAME"),
        ("FROM x\nUSER 1\nRUN a\n", 3, "put it before USER"),
        ("FROM x AS a\nFROM a\n", 2, "a stage from another stage"),
        ("ARG A\nFROM x\n", 1, "ARG A has no default"),
        ("FROM x\nARG A=1\n", 2, "before the first FROM only"),
        ("RUN a\n", 1, "before the first FROM"),
        ("FROM x\nHEALTHCHECK NONE\n", 2, "HEALTHCHECK is performed"),
        ("FROM x\nRUN <<E\na\nE\n", 2, "here-documents"),
    ],
)
def test_what_cannot_be_performed_is_refused(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    with pytest.raises(NotUnderstood) as failure:
        stages(tmp_path, text)
    assert f"line {line}:" in str(failure.value)
    assert said in str(failure.value)


@pytest.mark.parametrize("text", ["FROM\n", "NONSENSE x\n", "ARG A=1\n"])
def test_what_is_no_dockerfile_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotUnderstood):
        stages(tmp_path, text)
