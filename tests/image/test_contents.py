"""What is found wrong in a root, each on its own."""

from __future__ import annotations

import compileall
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("dockerfile", reason="it has no wheel for this platform")

from tests.image.contents import problems
from tests.image.recipe import Settings

LIBRARY = Path("usr/local/lib/python3.11")
PACKAGES = Path("opt/wsgate/lib/python3.11/site-packages")
USER = "10001:10001"
BASE = {LIBRARY / "site-packages/pip.py"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    for name in ("wsgate/a.py", "wsgate/py.typed", "wsgate/static/x.css", "ext/wsgate/core/b.pyx"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    return project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of an image of that project, with nothing wrong."""
    root = tmp_path / "root"
    for name in (
        *(PACKAGES / "wsgate/a.py", PACKAGES / "wsgate/py.typed", PACKAGES / "wsgate/static/x.css"),
        *(
            LIBRARY / "site-packages/pip.py",
            PACKAGES / "wsgate/core/b.cpython.so",
            LIBRARY / "os.py",
        ),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    compileall.compile_dir(root / PACKAGES, quiet=1)
    compileall.compile_file(root / LIBRARY / "os.py", quiet=1)
    return root


def found(root: Path, project: Path, user: str = USER, base: set[Path] = BASE) -> list[str]:
    return list(problems(root, Settings(user=user), base, project))


def test_nothing_is_found_where_nothing_is_wrong(root: Path, project: Path) -> None:
    assert found(root, project) == []


@pytest.mark.parametrize("user", ["0", "root", "wsgate", "10001:0", "0:10001", ""])
def test_a_user_is_a_number_above_0(root: Path, project: Path, user: str) -> None:
    (problem,) = found(root, project, user)
    assert problem.startswith(f"USER {user}:")


def touch(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (touch("usr/bin/gcc"), "/usr/bin/gcc: programs that build do not belong here"),
        (touch("opt/wheels/a.whl"), "/opt/wheels/a.whl is left over from building"),
        (touch("root/.cache/pip/x"), "/root/.cache is left over from building"),
        (touch(f"{PACKAGES}/Cython"), f"/{PACKAGES}/Cython is of use for building only"),
        (lambda root: (root / "opt").chmod(0o700), "/opt has mode drwx------"),
        (lambda root: (root / PACKAGES / "wsgate/a.py").chmod(0o600), "has mode -rw-------"),
        (lambda root: (root / PACKAGES / "wsgate/a.py").chmod(0o666), "has mode -rw-rw-rw-"),
        (touch(f"{PACKAGES}/wsgate/c.py"), "/c.py and 0 more have no bytecode"),
        (touch(f"{LIBRARY}/io.py"), f"/{LIBRARY}/io.py and 0 more have no bytecode"),
        (lambda root: (root / PACKAGES / "wsgate/py.typed").unlink(), "wsgate/py.typed is not in"),
        (lambda root: (root / PACKAGES / "wsgate/static/x.css").unlink(), "x.css is not in it"),
        (
            lambda root: (root / PACKAGES / "wsgate/core/b.cpython.so").unlink(),
            "wsgate/core/b, compiled, is not in it",
        ),
    ],
)
def test_what_is_wrong_is_found(
    root: Path, project: Path, change: Callable[[Path], None], said: str
) -> None:
    change(root)
    assert said in found(root, project)[0]


def test_what_the_base_has_is_its_own_affair(root: Path, project: Path) -> None:
    touch("usr/share/sources.tar.gz")(root)
    assert found(root, project) != []
    assert found(root, project, base={*BASE, Path("usr/share/sources.tar.gz")}) == []
