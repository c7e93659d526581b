"""Builds the compiled half of wsgate.

``ext/`` mirrors the import path and is the Cython include root. Three profiles:

* release (default);
* ``WSGATE_DEBUG=1``: bounds checks, C assertions and live-object counters (``make debug``);
* ``WSGATE_SANITIZE=1``: that under AddressSanitizer and UndefinedBehaviorSanitizer, and reporting
  what is reached (``make asan``, ``make fuzz``).
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
SANITIZE = os.environ.get("WSGATE_SANITIZE") == "1"
DEBUG = SANITIZE or os.environ.get("WSGATE_DEBUG") == "1"
PROFILE = "asan" if SANITIZE else "debug" if DEBUG else "release"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
    "freethreading_compatible": False,
}

CFLAGS = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
CFLAGS += ["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-g1", "-DNDEBUG"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
# Read beside the sanitizers: a fuzzer wants to know which code an input reached.
COVERAGE = ["-fsanitize-coverage=trace-pc"]
if SANITIZE:
    CFLAGS += [*SANITIZERS, "-fno-omit-frame-pointer", *COVERAGE]


def extensions() -> list[Extension]:
    """One extension for each ``ext/wsgate/**/*.pyx``, named after its place in the tree."""
    found = []
    for source in sorted((ROOT / "ext").rglob("*.pyx")):
        relative = source.relative_to(ROOT)
        name = ".".join(relative.with_suffix("").parts[1:])
        found.append(
            Extension(
                name,
                [str(relative), *(["tests/fuzz/coverage.c"] if SANITIZE else [])],
                include_dirs=["ext"],
                define_macros=[("WSGATE_DEBUG", "1" if DEBUG else "0")],
                extra_compile_args=CFLAGS,
                extra_link_args=SANITIZERS if SANITIZE else [],
            )
        )
    return found


setup(
    ext_modules=cythonize(
        extensions(),
        include_path=["ext"],
        build_dir="build/cython" if PROFILE == "release" else f"build/cython-{PROFILE}",
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
    ),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
