"""Memory that is free but still ours: given back to the system when that is asked for.

glibc keeps what lies below a block in use. After a crowd of slow clients that can be most of what
they were owed, and a gateway over its limit would refuse new clients although it has room for them.
"""

from __future__ import annotations

import ctypes
import gc


def give_back() -> bool:
    """Takes some milliseconds; False where the C library has no such thing."""
    gc.collect()  # also empties Python's lists of free objects, each of which can hold a megabyte
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
