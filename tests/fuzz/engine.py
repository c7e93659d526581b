"""One target under atheris: libFuzzer, guided by what Python and compiled code are reached.

atheris instruments what is imported of ``wsgate``; the sanitized build's compiled modules count
for themselves (``coverage.c``), and libFuzzer is shown where.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
import time
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import atheris
import structlog

from tests.fuzz import registry

COUNT_INTERVAL_S = 2.0


# Its functions have to come before those of the same names in libasan, which do nothing: whoever
# starts an engine preloads it.
LIBFUZZER = Path(atheris.__file__).parent / f"core_with_libfuzzer{EXTENSION_SUFFIXES[0]}"


def run(name: str, deadline_s: float, options: list[str]) -> None:
    """Fuzz until the deadline, by the monotonic clock, or a finding, which ends the process."""
    with atheris.instrument_imports(include=["wsgate"], enable_loader_override=False):
        target = registry.load(name)
    silence_logs()
    gc.freeze()  # looking for leaks, it then looks at what an input made and at nothing else
    left_s = max(1, round(deadline_s - time.monotonic()))
    options = [f"-max_total_time={left_s}", *options]
    atheris.Setup([sys.argv[0], *options], _counted(target.check), internal_libfuzzer=True)
    _show_compiled_coverage()
    atheris.Fuzz()


def silence_logs() -> None:
    """Complaints about inputs are the point of them, and writing them down takes long."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger().addHandler(logging.NullHandler())


def _counted(check: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Says now and then how many inputs there were: libFuzzer does so ever more rarely."""
    count, next_s = 0, 0.0

    def counting(data: bytes) -> None:
        nonlocal count, next_s
        count += 1
        now_s = time.monotonic()
        if now_s >= next_s:
            next_s = now_s + COUNT_INTERVAL_S
            print(f"inputs: {count}", file=sys.stderr, flush=True)
        check(data)

    return counting


_tables: list[object] = []  # libFuzzer keeps pointers into them


def _show_compiled_coverage() -> None:
    """Hand each compiled module's counters to libFuzzer, with as many made-up addresses."""
    libfuzzer = ctypes.CDLL(str(LIBFUZZER))
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if not path.endswith(".so"):
            continue
        try:
            counters_of = ctypes.CDLL(path).wsgate_coverage
        except AttributeError:
            assert not name.startswith("wsgate."), f"{name} is not of the sanitized build"
            continue
        counters_of.restype = ctypes.c_void_p
        size = ctypes.c_size_t()
        begin = counters_of(ctypes.byref(size))
        table = (ctypes.c_size_t * (2 * size.value))()  # an address and flags for each counter
        table[::2] = range(begin, begin + size.value)
        _tables.append(table)
        libfuzzer.__sanitizer_cov_8bit_counters_init(
            ctypes.c_void_p(begin), ctypes.c_void_p(begin + size.value)
        )
        end = ctypes.addressof(table) + ctypes.sizeof(table)
        libfuzzer.__sanitizer_cov_pcs_init(ctypes.byref(table), ctypes.c_void_p(end))
