"""Loads nats-py without what it takes along if that is installed. To be imported before it is.

For its WebSocket transport it loads aiohttp, which is 10 MB for every worker and a third of its
start. Few use that transport: ``load_websockets`` is for them.
"""

from __future__ import annotations

import sys

if "aiohttp" in sys.modules:
    import nats.aio.transport
else:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # documented to make an import fail
    try:
        import nats.aio.transport
    finally:
        del sys.modules["aiohttp"]


def load_websockets() -> None:
    """Let nats-py speak over WebSocket; ImportError if aiohttp is not there."""
    import aiohttp

    nats.aio.transport.aiohttp = aiohttp  # type: ignore[attr-defined]
