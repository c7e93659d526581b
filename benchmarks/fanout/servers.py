"""What is measured, and how each of them is started."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fanout import probe
from benchmarks.fanout.build import build
from benchmarks.fanout.child import Failure
from benchmarks.fanout.scenarios import Scenario
from benchmarks.fanout.tokens import Tokens

FLOOR = "floor"
"""The least that any server can do."""
WSGATE = "wsgate"
"""The gateway, with clients of its first protocol, in text."""
DEFLATE = "deflate"
"""The gateway, with clients that have agreed on permessage-deflate."""
DELTA = "delta"
"""... that speak wsgate.delta.v1."""
AGGREGATED = "aggregated"
"""... and `wsgate aggregate` before it."""
UWEBSOCKETS = "uwebsockets"
"""uWebSockets, as socketify brings it."""


@dataclass(frozen=True)
class Launch:
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    admin_port: int = 0
    """0: it has none."""


def launch(
    name: str,
    scenario: Scenario,
    nats_port: int,
    port: int,
    wsgate: Path,
    others: int,
    tokens: Tokens | None,
) -> Launch:
    """For clients on ``port``; ``others``: connections that may be there beside the scenario's."""
    if name == FLOOR:
        command = [str(build(FLOOR)), f"--port={port}", f"--nats={nats_port}"]
        return Launch(command + ([f"--window={scenario.window_ms}"] if scenario.window_ms else []))
    if name == UWEBSOCKETS:
        if importlib.util.find_spec("socketify") is None:
            raise Failure("uWebSockets is not here: python -m pip install --group peers")
        peer = ["-m", "benchmarks.fanout.uwebsockets", f"--port={port}", f"--nats={nats_port}"]
        return Launch([sys.executable, *peer])
    admin_port = probe.free_port()
    environment = {
        "NATS_URL": f"nats://127.0.0.1:{nats_port}",
        "WS_HOST": "127.0.0.1",
        "WS_PORT": str(port),
        "WS_ADMIN_PORT": str(admin_port),
        "WS_AUTH": "none",
        "WS_MAX_CONNECTIONS": str(scenario.connections + others + 100),
        "WS_FLUSH_WINDOW_MS": "auto" if scenario.adapts else str(scenario.window_ms),
        "WS_DEFLATE": str(name == DEFLATE).lower(),
        "WS_DELTA": str(name == DELTA).lower(),
        "LOG_LEVEL": "warning",
        "WS_DRAIN_DELAY_S": "0",  # there is no load balancer to wait for
        **(tokens.settings if tokens else {}),
    }
    return Launch([str(wsgate), "serve"], environment, admin_port)
