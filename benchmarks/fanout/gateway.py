"""The gateway as other benchmarks start it, and what it says of itself."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.fanout import probe
from benchmarks.fanout.child import Child
from benchmarks.fanout.trial import Bench
from tests.support.metrics import summed


@dataclass(frozen=True)
class Gateway:
    child: Child
    port: int
    admin_port: int

    def page(self) -> str:
        """/metrics, as it is."""
        url = f"http://127.0.0.1:{self.admin_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def metrics(self) -> dict[str, float]:
        return summed(self.page())


@contextmanager
def gateway(bench: Bench, nats_port: int, settings: Mapping[str, str]) -> Iterator[Gateway]:
    """``wsgate serve`` on free ports, ready; `settings` on top of those."""
    port, admin_port = probe.free_port(), probe.free_port()
    environment = {
        "NATS_URL": f"nats://127.0.0.1:{nats_port}",
        "WS_HOST": "127.0.0.1",
        "WS_PORT": str(port),
        "WS_ADMIN_PORT": str(admin_port),
        "LOG_LEVEL": "warning",
        "WS_DRAIN_DELAY_S": "0",  # there is no load balancer to wait for
        **settings,
    }
    command = [sys.executable, "-m", "wsgate", "serve"]
    log = bench.out / "wsgate.log"
    with Child("wsgate", command, bench.server_core, log, environment, nice=bench.nice) as child:
        ready = f"http://127.0.0.1:{admin_port}/readyz"
        probe.wait_until("ready", lambda: probe.http_ok(ready), child)
        yield Gateway(child, port, admin_port)
