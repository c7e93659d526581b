"""Compiles the C programs into ``benchmarks/out/``: with a C compiler, and zlib if it is there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
OUT = SOURCES.parent / "out"
CFLAGS = ["-O2", "-g", "-Wall", "-Wextra"]


def compiler() -> str:
    return os.environ.get("CC", "cc")


def has_zlib() -> bool:
    """Whether zlib's header is there: only the load client wants it, to inflate what it gets."""
    command = [compiler(), "-E", "-include", "zlib.h", "-x", "c", os.devnull, "-o", os.devnull]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def build(name: str, sources: Path = SOURCES) -> Path:
    """The program, compiled anew if any of its sources, or of the headers here, is newer."""
    OUT.mkdir(exist_ok=True)
    program = OUT / name
    newest = max(path.stat().st_mtime for path in [*SOURCES.glob("*.[ch]"), *sources.glob("*.c")])
    if not program.exists() or program.stat().st_mtime < newest:
        source = sources / f"{name}.c"
        # Under a name of its own until it is whole: others may be building it, too.
        unfinished = OUT / f"{name}.{os.getpid()}"
        command = [compiler(), *CFLAGS, "-o", str(unfinished), str(source)]
        zlib = ["-DWITH_ZLIB", "-lz"] if name == "load" and has_zlib() else []
        subprocess.run([*command, *zlib], check=True)
        unfinished.replace(program)
    return program
