"""One gateway, with or without TLS; gives the figures."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout import probe
from benchmarks.fanout.build import CFLAGS, OUT, compiler
from benchmarks.fanout.child import Child, Failure
from benchmarks.fanout.gateway import Gateway, gateway
from benchmarks.fanout.scenarios import Kind, Scenario
from benchmarks.fanout.trial import READY_S, Bench

CHANNEL = "token.bench.comment"
SETTLE_S = 1.0
"""So long the gateway may tidy up after connections, before anything is measured."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Sizes:
    connections: int = 5000
    rate: float = 10.0
    """Updates a second, each to every connection."""
    seconds: float = 20.0
    """Below 25: clients that do not answer pings are cut off after two of those."""
    payload_bytes: int = 500
    handshakes: int = 5000
    """Of each kind."""
    window_ms: int = 0


FULL = Sizes()
QUICK = Sizes(connections=200, seconds=2.0, handshakes=200)


def build() -> Path:
    """The load client; it needs OpenSSL's headers."""
    OUT.mkdir(exist_ok=True)
    program = OUT / "tls-load"
    source = Path(__file__).with_name("load.c")
    command = [compiler(), *CFLAGS, "-o", str(program), str(source), "-lssl", "-lcrypto"]
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError:
        raise Failure("the load client needs OpenSSL's headers (libssl-dev)") from None
    return program


def certificate(kind: str) -> dict[str, str]:
    """Settings that name a certificate made for this: "p256" or "rsa2048"."""
    path, key = OUT / f"tls-{kind}.pem", OUT / f"tls-{kind}.key"
    of_kind = {
        "p256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "rsa2048": ["-newkey", "rsa:2048"],
    }
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=bench"]
    command += [*of_kind[kind], "-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return {"WS_TLS_CERT": str(path), "WS_TLS_KEY": str(key)}


def trial(bench: Bench, sizes: Sizes, nats_port: int, tls: dict[str, str]) -> Figures:
    settings = {
        "WS_MAX_CONNECTIONS": str(sizes.connections + 100),
        "WS_FLUSH_WINDOW_MS": str(sizes.window_ms),
        **tls,
    }
    with gateway(bench, nats_port, settings) as server:
        command = [str(OUT / "tls-load"), str(server.port), "tls" if tls else "plain", CHANNEL]
        log = bench.out / "tls-load.log"
        with Child("tls-load", command, bench.other_core, log, talks=True) as load:
            return {
                **_handshakes(bench, sizes, server, load, "full"),
                **(_handshakes(bench, sizes, server, load, "resumed") if tls else {}),
                **_memory(bench, sizes, server, load),
                **_deliveries(bench, sizes, server, nats_port),
            }


def _handshakes(bench: Bench, sizes: Sizes, server: Gateway, load: Child, kind: str) -> Figures:
    load.ask(f"handshakes {max(10, sizes.handshakes // 10)} {kind}", READY_S)  # warms up
    time.sleep(SETTLE_S)
    before = bench.sample(server.child)
    load.ask(f"handshakes {sizes.handshakes} {kind}", READY_S)
    time.sleep(SETTLE_S)
    cpu_s = bench.sample(server.child).cpu_s - before.cpu_s
    return {f"cpu_us_per_handshake_{kind}": cpu_s * 1e6 / sizes.handshakes}


def _memory(bench: Bench, sizes: Sizes, server: Gateway, load: Child) -> Figures:
    before = bench.sample(server.child)
    load.ask(f"open {sizes.connections}", READY_S)
    time.sleep(SETTLE_S)
    grown_kb = bench.sample(server.child).pss_kb - before.pss_kb
    return {"pss_kb_per_connection": grown_kb / sizes.connections}


def _deliveries(bench: Bench, sizes: Sizes, server: Gateway, nats_port: int) -> Figures:
    scenario = Scenario(
        name="tls",
        about="one event channel",
        kind=Kind.STREAM,
        channels=CHANNEL,
        payload_bytes=sizes.payload_bytes,
    )
    count = round(sizes.rate * sizes.seconds)
    sent = server.metrics()["ws_messages_sent_total"]
    due = sent + count * sizes.connections
    before = bench.sample(server.child)
    with bench.publisher(scenario, nats_port, count, sizes.rate) as publisher:
        publisher.event("done", sizes.seconds + 30)
        probe.wait_until(
            "through with all deliveries",
            lambda: server.metrics()["ws_messages_sent_total"] >= due,
            server.child,
        )
    after = bench.sample(server.child)
    metrics = server.metrics()
    if metrics["ws_connections_current"] != sizes.connections:
        raise Failure(f"{sizes.connections - metrics['ws_connections_current']:.0f} clients left")
    deliveries = count * sizes.connections
    return {
        "cpu_us_per_delivery": (after.cpu_s - before.cpu_s) * 1e6 / deliveries,
        "user_us_per_delivery": (after.user_s - before.user_s) * 1e6 / deliveries,
        "pss_kb_per_connection_after": (after.pss_kb - before.pss_kb) / sizes.connections,
    }
