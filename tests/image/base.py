"""In place of the base images: roots with the Python at hand at /usr/local, as those have it.

*full* sees the machine's /usr, compiler and all. *slim* has nothing but the interpreter, the
libraries that it needs, and some programs. As in the real ones there is no bytecode.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import pip

# What programs find in the real ones.
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
# What a Debian has even at its smallest, as far as the steps ask for it.
PROGRAMS = ("sh", "cat", "chmod", "cp", "env", "id", "ls", "mkdir", "mv", "rm", "ldconfig")
# Of every Debian too, beside libc: what wheels of compiled code may rely on.
RUNTIMES = (
    *("libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libmvec.so.1", "libresolv.so.2"),
    *("librt.so.1", "libpthread.so.0", "libdl.so.2", "libutil.so.1", "libanl.so.1"),
)
# How names and hosts are found, and who is trusted: an engine gives a container the like.
ETC = ("alternatives", "ld.so.conf", "ld.so.conf.d", "nsswitch.conf", "hosts", "resolv.conf", "ssl")
ETC_SLIM = ("ld.so.conf", "ld.so.conf.d", "nsswitch.conf", "hosts", "resolv.conf")
TOP = ("bin", "sbin", "lib", "lib64")
LEFT_OUT = ("__pycache__", "test", "tests", "idle_test", "site-packages", "dist-packages", "*.a")
STDLIB = Path(sysconfig.get_path("stdlib"))
PREFIX = Path(sys.base_prefix)
VERSION = "{}.{}".format(*sys.version_info[:2])
NAMED = re.compile(r"python:(?P<python>[\d.]+)(?P<slim>-slim)?-(?P<debian>[a-z]+)")


class NoBase(Exception):
    """There is nothing at hand to stand for this base image."""


def python_named(image: str) -> str:
    """The version of Python that an image is named after."""
    return _parts(image)["python"]


def is_slim(image: str) -> bool:
    return _parts(image)["slim"] is not None


def _parts(image: str) -> re.Match[str]:
    found = NAMED.fullmatch(image)
    if found is None:
        raise NoBase(f"{image}: only python:<version>-<debian> and python:<version>-slim-<debian>")
    return found


def places(*, slim: bool) -> list[Path]:
    """What such a base sees of the machine itself: /usr without /usr/local, or nothing."""
    if slim:
        return []
    own = [Path("/", name) for name in TOP if not Path("/", name).is_symlink()]
    parts = [*Path("/usr").iterdir(), *own]
    return sorted(one for one in parts if one.is_dir() and one != Path("/usr/local"))


def make(root: Path, *, slim: bool) -> None:
    """Make the folder ``root`` such a base; a *full* one wants its :func:`places` mounted."""
    for name in ("dev", "proc", "tmp", "etc", "root", "usr/local/bin", "usr/local/lib"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in ETC_SLIM if slim else ETC:
        _copy(Path("/etc", name), root / "etc" / name)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    with (root / "etc/ld.so.conf").open("a") as file:
        file.write("/usr/local/lib\n")
    _python(root / "usr/local")
    if slim:
        _libraries_and_programs(root)
    for name in TOP:
        if Path("/", name).is_symlink() and not (root / name).exists():
            (root / name).symlink_to(Path("/", name).readlink())


def _python(prefix: Path) -> None:
    binary = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    name = f"python{VERSION}"
    shutil.copy2(binary, prefix / "bin" / name)
    for link in ("python3", "python"):
        (prefix / "bin" / link).symlink_to(name)
    library = prefix / "lib" / name
    left_out = (
        "__pycache__",
        "test",
        "tests",
        "idle_test",
        "site-packages",
        "dist-packages",
        "*.a",
    )
    # Links are followed: Debian's Python has some that lead to /etc.
    ignore = shutil.ignore_patterns(*left_out)
    shutil.copytree(STDLIB, library, ignore=ignore, ignore_dangling_symlinks=True)
    # Not among site-packages, for which Debian's Python has a place of its own.
    _copy(Path(pip.__file__).parent, library / "pip")
    _copy(Path(sysconfig.get_path("include")), prefix / "include" / name)
    for one in _libraries([binary, *library.rglob("*.so")]):
        if _is_pythons_own(one):
            shutil.copy2(one, prefix / "lib" / one.name)


def _libraries_and_programs(root: Path) -> None:
    programs = [_program(name) for name in PROGRAMS]
    # tkinter wants a screen's libraries, which the real slim images do without too.
    modules = [one for one in root.rglob("*.so") if "tkinter" not in one.name]
    python = root / "usr/local/bin" / f"python{VERSION}"
    libraries = list(_libraries([*programs, python, *modules]))
    (libc,) = (one for one in libraries if one.name == "libc.so.6")
    runtimes = [one for one in map(libc.with_name, RUNTIMES) if one.exists()]
    for one in [*programs, *libraries, *runtimes]:
        if not _is_pythons_own(one):
            # Through the links that lead from /lib to /usr/lib.
            target = root / (one.parent.resolve() / one.name).relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(one, target)


def _is_pythons_own(library: Path) -> bool:
    """Libraries of a Python that is the system's own are the system's."""
    return Path("/usr") != PREFIX and library.is_relative_to(PREFIX)


def _program(name: str) -> Path:
    found = shutil.which(name, path=ENVIRONMENT["PATH"])
    if found is None:
        raise NoBase(f"there is no {name} on this machine to put into a base")
    return Path(found)


def _libraries(binaries: Iterable[Path]) -> Iterator[Path]:
    """All that these load, and what loads them."""
    listed = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False).stdout
    named = re.findall(r"(?:=>\s+|^\s+)(/\S+) \(0x", listed, re.MULTILINE)
    return (Path(one) for one in dict.fromkeys(named))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        ignore = shutil.ignore_patterns("__pycache__", "private")
        shutil.copytree(source, target, symlinks=True, ignore=ignore)
    elif source.exists():
        shutil.copy2(source, target, follow_symlinks=True)


def size_mb(root: Path) -> float:
    """Of all files in it."""
    walked = (Path(place, name) for place, _, names in os.walk(root) for name in names)
    return sum(path.lstat().st_size for path in walked) / 1e6
