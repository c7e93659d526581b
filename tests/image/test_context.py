"""What .dockerignore leaves out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.image.context import Ignored, files

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("patterns", "left_out", "kept"),
    [
        ("build", ["build", "build/a/b"], ["rebuild", "a/build"]),
        ("/build/", ["build/a"], ["a/build"]),
        ("*.c", ["a.c"], ["a/b.c", "a.cc"]),
        ("**/*.c", ["a.c", "a/b.c", "a/b/c.c"], ["a.cpp"]),
        ("**/cache", ["cache/a", "a/cache/b"], ["a/cached"]),
        ("*/x", ["a/x"], ["x", "a/b/x"]),
        ("a?.py[co]", ["ab.pyc"], ["a.pyc", "abc.pyc", "ab.py", "a/.pyc"]),
        ("*\n!a\n**/*.so", ["b", "a/b.so"], ["a", "a/b"]),
        ("# a\n\n  b  \n", ["b"], ["a", "# a"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_patterns(patterns: str, left_out: list[str], kept: list[str]) -> None:
    ignored = Ignored(patterns.splitlines())
    assert [path for path in left_out if not ignored.leaves_out(path)] == []
    assert [path for path in kept if ignored.leaves_out(path)] == []


def test_the_context_is_what_is_shipped_and_nothing_made_here() -> None:
    """Of files that git knows, whatever else lies about."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("these sources are no clone")
    known = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    sent = {path.as_posix() for path in files(ROOT)}
    assert sent <= known
    shipped = {name for name in known if name.startswith(("ext/", "wsgate/"))}
    assert sent == shipped | {
        *("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
    }
