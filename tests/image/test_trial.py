"""A trial is content with what is as it has to be, and finds each fault that it is there for."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("dockerfile", reason="it has no wheel for this platform")

from tests.image import base, trial
from tests.image.bare import Bare
from tests.image.contents import snapshot
from tests.image.recipe import Health, Settings
from tests.image.room import Room, StepFailed, missing

PRETENDER = Path(__file__).with_name("pretender.py")
WITHIN_S = 0.5
needs_namespaces = pytest.mark.skipif(missing() is not None, reason="there are no namespaces here")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slim base with the pretender in it."""
    root = tmp_path_factory.mktemp("image") / "root"
    base.make(root, slim=True)
    shutil.copy2(PRETENDER, root / "pretender.py")
    return root


@pytest.fixture
def room(root: Path) -> Room | Bare:
    if missing() is not None:
        return Bare(root, [])
    room = Room(root, [])
    room.run(["ldconfig", "-X"], base.ENVIRONMENT)
    return room


def settings(fault: str, user: str = "10001:10001") -> Settings:
    program = ("python", "/pretender.py")
    return Settings(
        environment={**base.ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"},
        user=user,
        entrypoint=program,
        command=("serve", fault),
        health=Health((*program, "healthcheck", fault), {"timeout": "5s"}),
    )


@pytest.mark.parametrize("writable", [True, False])
def test_what_is_as_it_has_to_be_passes(
    room: Room | Bare, writable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    trial.run(room, settings("none"), writable=writable)
    said = capsys.readouterr().out
    assert "ends with 0 on SIGTERM" in said
    assert ("is process 1, of user 10001" in said) == room.isolated


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("writes", "it wrote into its root: /tmp, /tmp/state"),
        ("deaf", "it did not stop within 0.5 s of SIGTERM"),
        ("ends badly", "it did not end with 0, not 3, on SIGTERM"),
        ("always ill", "it did not be healthy; HEALTHCHECK says, with 1"),
        ("always healthy", "it did not be unhealthy when it is gone; HEALTHCHECK says 0"),
    ],
)
def test_faults_are_found(room: Room | Bare, root: Path, fault: str, said: str) -> None:
    patience = {"stop_s": WITHIN_S} if fault == "deaf" else {}
    try:
        with pytest.raises(trial.Failed, match=re.escape(said)):
            trial.run(room, settings(fault), writable=True, **patience)
    finally:
        (root / "tmp/state").unlink(missing_ok=True)


@pytest.mark.parametrize("fault", ["one port", "loses workers"])
def test_what_does_not_come_about_is_not_waited_for_without_end(
    room: Room | Bare, fault: str
) -> None:
    with pytest.raises(trial.Failed, match=r"serve on both ports|replace a worker"):
        trial.run(room, settings(fault), writable=True, start_s=2 * WITHIN_S)


@needs_namespaces
def test_who_does_not_reap_what_it_inherits_is_found(room: Room) -> None:
    with pytest.raises(trial.Failed, match="it did not reap a process that it inherited"):
        trial.run(room, settings("orphans"), writable=True, start_s=6 * WITHIN_S)


@needs_namespaces
def test_who_writes_into_a_root_that_can_only_be_read_fails(room: Room) -> None:
    with pytest.raises(trial.Failed, match="Read-only file system"):
        trial.run(room, settings("writes"), writable=False)


@needs_namespaces
def test_a_room_has_nothing_but_its_root(room: Room, root: Path) -> None:
    before = snapshot(root)
    inside = "test $$ = 1 && test ! -e /home && test ! -e /usr/include && ! command -v cc"
    room.run(["sh", "-c", inside], base.ENVIRONMENT)
    with pytest.raises(StepFailed, match="it ended with 3"):
        room.run(["sh", "-c", "exit 3"], base.ENVIRONMENT)
    assert snapshot(root) == before


def test_paths_lead_into_the_folder_where_there_is_no_root_of_its_own() -> None:
    full = Bare(Path("/f"), [Path("/usr/bin"), Path("/usr/lib")])
    slim = Bare(Path("/f"), [])
    for text, in_full, in_slim in [
        ("/opt/a/b", "/f/opt/a/b", "/f/opt/a/b"),
        (
            "/a:/usr/local/bin:/usr/bin",
            "/f/a:/f/usr/local/bin:/usr/bin",
            "/f/a:/f/usr/local/bin:/f/usr/bin",
        ),
        ("/bin/sh", "/bin/sh", "/f/bin/sh"),
        ("cp /w/*.whl >/dev/null", "cp /f/w/*.whl >/dev/null", "cp /f/w/*.whl >/dev/null"),
        ("/develop", "/f/develop", "/f/develop"),
        ("https://host/path ./a a/b", "https://host/path ./a a/b", "https://host/path ./a a/b"),
        ('X="/opt/a"', 'X="/f/opt/a"', 'X="/f/opt/a"'),
    ]:
        assert full.here(text) == in_full
        assert slim.here(text) == in_slim
