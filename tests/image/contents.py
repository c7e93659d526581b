"""What is wrong with what is in an image, seen from outside."""

from __future__ import annotations

import importlib.util
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.image.recipe import Settings

BUILDERS = {"cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "cython", "cythonize"}
BUILT_WITH = {"pip", "setuptools", "wheel", "Cython"}
LEFTOVERS = (".whl", ".o", ".tar.gz")

Signature = tuple[int, int, int, str]


def problems(root: Path, settings: Settings, base_paths: set[Path], project: Path) -> Iterator[str]:
    """One sentence for each. ``base_paths`` are not the image's own affair."""
    yield from _user(settings.user)
    own = [path for path in sorted(root.rglob("*")) if path.relative_to(root) not in base_paths]
    yield from _builders(root, own)
    yield from _unreadable(root, own)
    yield from _without_bytecode(root, own)
    yield from _missing(own, project)


def snapshot(root: Path) -> dict[Path, Signature]:
    """By which it can be told what was written."""
    found = {}
    for path in root.rglob("*"):
        at = path.lstat()
        link = str(path.readlink()) if path.is_symlink() else ""
        size = 0 if path.is_dir() else at.st_size
        found[path.relative_to(root)] = (at.st_mode, size, at.st_mtime_ns, link)
    return found


def _user(user: str) -> Iterator[str]:
    for number in user.split(":"):
        if not number.isdigit() or int(number) == 0:
            yield f"USER {user}: a number above 0 is wanted, which who runs it can check"
            return


def _builders(root: Path, own: Iterable[Path]) -> Iterator[str]:
    for path in root.rglob("bin/*"):
        if path.name in BUILDERS:
            yield f"/{path.relative_to(root)}: programs that build do not belong here"
    for path in own:
        inside = path.relative_to(root)
        if path.name.endswith(LEFTOVERS) or ".cache" in inside.parts:
            yield f"/{inside} is left over from building"
        if path.parent.name == "site-packages" and path.name in BUILT_WITH:
            yield f"/{inside} is of use for building only"


def _unreadable(root: Path, own: Iterable[Path]) -> Iterator[str]:
    """Root's files, for somebody else, who may read and not write."""
    for path in own:
        mode = path.lstat().st_mode
        wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        if not stat.S_ISLNK(mode) and (mode & wanted != wanted or mode & stat.S_IWOTH):
            yield f"/{path.relative_to(root)} has mode {stat.filemode(mode)}"


def _without_bytecode(root: Path, own: Iterable[Path]) -> Iterator[str]:
    modules = [path for path in own if path.suffix == ".py" and "site-packages" in path.parts]
    standard = root.glob("usr/local/lib/python*/**/*.py")
    modules += [path for path in standard if "site-packages" not in path.parts]
    bare = [path for path in modules if not _bytecode(path).exists()]
    if bare:
        first = bare[0].relative_to(root)
        yield f"/{first} and {len(bare) - 1} more have no bytecode: every start compiles them"


def _bytecode(module: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(module)))


def _missing(own: Iterable[Path], project: Path) -> Iterator[str]:
    there = [str(path) for path in own]
    for source in (project / "wsgate").rglob("*"):
        if source.suffix in (".py", ".pyi", ".typed") or source.parent.name == "static":
            name = source.relative_to(project)
            if not any(path.endswith(f"/site-packages/{name}") for path in there):
                yield f"{name} is not in it"
    for source in (project / "ext").rglob("*.pyx"):
        name = source.relative_to(project / "ext").with_suffix("")
        if not any(f"/site-packages/{name}." in path and path.endswith(".so") for path in there):
            yield f"{name}, compiled, is not in it"
