"""A project of three files, built and copied from stage to stage."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dockerfile", reason="it has no wheel for this platform")

from tests.image import base, recipe
from tests.image.bare import Bare
from tests.image.perform import Performer
from tests.image.recipe import NotUnderstood
from tests.image.room import Room, StepFailed, missing

VERSION = base.VERSION
BUILD = f"FROM python:{VERSION}-bookworm AS build\n"
FINAL = f"FROM python:{VERSION}-slim-bookworm\n"
KINDS = [
    pytest.param(Room, marks=pytest.mark.skipif(missing() is not None, reason="no namespaces")),
    Bare,
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "lib").mkdir(parents=True)
    (project / "lib/one.txt").write_text("one")
    (project / "lib/secret.txt").write_text("secret")
    (project / "two.txt").write_text("two")
    (project / ".dockerignore").write_text("**/secret*\n")
    return project


def perform(project: Path, kind: type[Room] | type[Bare], text: str) -> Room | Bare:
    (project / "Dockerfile").write_text(text)
    stages = recipe.read(project / "Dockerfile", base.ENVIRONMENT)
    return Performer(project.parent / "image", project, kind).perform(stages)


@pytest.mark.parametrize("kind", KINDS)
def test_stages_are_built_one_from_another(project: Path, kind: type[Room] | type[Bare]) -> None:
    image = perform(
        project,
        kind,
        f"{BUILD}WORKDIR /src\nCOPY two.txt ./\nCOPY lib lib\n"
        "ENV GREETING=hello\n"
        "RUN cc --version && mkdir -p /opt/made && cat two.txt lib/one.txt >/opt/made/both\n"
        "RUN echo $GREETING $(pwd) >/opt/made/greeting && python -m pip --version\n"
        f"{FINAL}COPY --from=build /opt/made /opt/moved\nCOPY two.txt /opt/copied.txt\n",
    )
    made = image.root / "opt"
    assert (made / "moved/both").read_text() == "twoone"
    assert (made / "moved/greeting").read_text().startswith("hello ")
    assert (made / "copied.txt").read_text() == "two"
    assert not (image.root / "src").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_the_final_stage_has_no_compiler(project: Path, kind: type[Room] | type[Bare]) -> None:
    with pytest.raises(StepFailed, match="RUN cc --version\nit ended with 127"):
        perform(project, kind, f"{FINAL}RUN cc --version\n")


def test_a_step_that_fails_ends_it(project: Path) -> None:
    with pytest.raises(StepFailed, match="RUN exit 7\nit ended with 7"):
        perform(project, Bare, f"{FINAL}RUN exit 7\nCOPY gone /\n")


def test_what_dockerignore_leaves_out_cannot_be_copied(project: Path) -> None:
    with pytest.raises(NotUnderstood, match=r"no lib/secret.txt in the context"):
        perform(project, Bare, f"{FINAL}COPY lib/secret.txt /\n")


def test_what_another_stage_did_not_make_cannot_be_copied(project: Path) -> None:
    with pytest.raises(NotUnderstood, match="there is no /opt/gone in build"):
        perform(project, Bare, f"{BUILD}{FINAL}COPY --from=build /opt/gone /opt\n")


def test_only_images_of_python_have_something_in_their_place(project: Path) -> None:
    with pytest.raises(base.NoBase, match="alpine:3: only python:"):
        perform(project, Bare, "FROM alpine:3\n")
