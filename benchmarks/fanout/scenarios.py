"""What is measured, and what it should come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    STREAM = "stream"
    """Publications flow for a while: cost of a delivery, latency, completeness."""
    MEMORY = "memory"
    """Connections subscribe and stay: memory of a connection."""
    HANDSHAKE = "handshake"
    """Connections come at a steady rate: cost of a handshake."""


@dataclass(frozen=True)
class Target:
    figure: str
    limit: float
    against_floor: bool = False


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    kind: Kind
    channels: str
    """Templates, separated by commas: one with ``%u`` stands for `per_template` channels."""
    per_template: int = 1
    each: int = 1
    rate: float = 1.0
    """Updates per second on each channel; of several rates, on each of the busiest."""
    rates: tuple[float, ...] = ()
    """One for each template, where one channel is busier than another."""
    window_ms: int = 0
    adapts: bool = False
    """The gateway finds its window by itself, up to `window_ms`, which the floor always has."""
    aggregate_window_ms: int = 100
    """Of the aggregator, where there is one."""
    connections: int = 10_000
    tokens: str = ""
    """Each client has a JWT of its own, signed by this algorithm; empty: none is asked for."""
    connect_rate: float = 0.0
    """Handshakes per second; 0: as fast as they complete."""
    seconds: float = 30.0
    warmup_s: float = 5.0
    payload_bytes: int = 500
    targets: tuple[Target, ...] = ()

    @property
    def state(self) -> bool:
        """Only the latest counts: what was merged on its way is not lost."""
        return self.channels.endswith(".update")

    @property
    def rates_text(self) -> str:
        return ",".join(f"{rate:g}" for rate in self.rates) or f"{self.rate:g}"

    @property
    def publications_per_s(self) -> float:
        """On all channels."""
        if not self.rates:
            return self.rate * len(self.channel_names)
        return sum(rate * self.per_template for rate in self.rates)

    @property
    def deliveries_per_s(self) -> float:
        """To all clients, if nothing is merged."""
        subscribers = self.connections * self.each / len(self.channel_names)
        return self.publications_per_s * subscribers

    @property
    def channel_names(self) -> list[str]:
        names: list[str] = []
        for template in self.channels.split(","):
            numbered = "%" in template
            names += [template % i for i in range(self.per_template)] if numbered else [template]
        return names


HANDSHAKE = Scenario(
    name="handshake",
    about="arriving steadily, each on 5 of 100 state channels that have a last value",
    kind=Kind.HANDSHAKE,
    channels="token.c%02u.update",
    per_template=100,
    each=5,
    connect_rate=2000,
    targets=(Target("cpu_us_per_handshake", 150),),
)
MILLION = Scenario(
    name="million",
    about="each on 10 of 100 event channels at random, 10 updates/s a channel, 100 ms window",
    kind=Kind.STREAM,
    channels="token.c%02u.comment",
    per_template=100,
    each=10,
    rate=10,
    window_ms=100,
    targets=(
        Target("cpu_us_per_delivery", 0.75),
        Target("latency_p99_ms", 300),
        Target("behind_share", 0.01),
        Target("lost", 0),
        Target("reordered", 0),
    ),
)
MARKET = Scenario(
    name="market",
    about="each on 10 of 2,000 state channels, 10,000 updates/s on 100 of them, 2,500 on the rest",
    kind=Kind.STREAM,
    # The first hundred are the busy ones.
    channels=",".join(f"token.{letter}%02u.update" for letter in "abcdefghijklmnopqrst"),
    per_template=100,
    each=10,
    rate=100,
    rates=(100, *[2500 / 1900] * 19),
    window_ms=100,
    targets=(
        Target("latency_p99_ms", 500),
        Target("outdated", 0),
        Target("reordered", 0),
    ),
)
QUIET = Scenario(
    name="quiet",
    about="100 on one event channel, 10 updates/s, no window",
    kind=Kind.STREAM,
    channels="token.bench.comment",
    rate=10,
    connections=100,
    targets=(Target("lost", 0),),
)
SCENARIOS = (
    Scenario(
        name="one-channel",
        about="everybody on one event channel, 10 updates/s",
        kind=Kind.STREAM,
        channels="token.bench.comment",
        rate=10,
        targets=(
            Target("cpu_us_per_delivery", 1.15, against_floor=True),
            Target("user_us_per_delivery", 0.20),
            Target("lost", 0),
            Target("reordered", 0),
        ),
    ),
    Scenario(
        name="ten-of-hundred",
        about="each on 10 of 100 event channels at random, 1 update/s a channel",
        kind=Kind.STREAM,
        channels="token.c%02u.comment",
        per_template=100,
        each=10,
        rate=1,
        targets=(
            Target("cpu_us_per_delivery", 1.35, against_floor=True),
            Target("user_us_per_delivery", 0.40),
            Target("lost", 0),
            Target("reordered", 0),
        ),
    ),
    MILLION,
    replace(
        MILLION,
        name="half-million",
        about="the same at 5 updates/s a channel, the window left to the gateway",
        rate=5,
        adapts=True,
        targets=tuple(one for one in MILLION.targets if one.figure != "cpu_us_per_delivery"),
    ),
    MARKET,
    replace(
        MARKET,
        name="even-market",
        about="the same, 6.25 updates/s on every channel; aggregated twice a second",
        rate=6.25,
        rates=(),
        aggregate_window_ms=500,
    ),
    QUIET,
    replace(
        QUIET,
        name="quiet-auto",
        about="the same, the window left to the gateway",
        adapts=True,
        targets=(Target("latency_p99_ms", 5), Target("lost", 0)),
    ),
    Scenario(
        name="memory",
        about="each on 5 of 100 channels, half state, half event; quiet, then 1 update/s each",
        kind=Kind.MEMORY,
        channels="token.c%02u.comment,token.c%02u.update",
        per_template=50,
        each=5,
        seconds=5,
        targets=(Target("pss_kb_per_connection", 6),),
    ),
    HANDSHAKE,
    replace(
        HANDSHAKE,
        name="handshake-hs256",
        about="the same, each with a token of its own, HS256",
        tokens="HS256",
        targets=(Target("cpu_us_per_handshake", 170),),
    ),
    replace(
        HANDSHAKE,
        name="handshake-es256",
        about="the same, each with a token of its own, ES256",
        tokens="ES256",
        targets=(Target("cpu_us_per_handshake", 250),),
    ),
)


def shortened(scenario: Scenario) -> Scenario:
    """For CI: proves that everything works; its figures say too little to be held to targets."""
    return replace(
        scenario,
        connections=300,
        seconds=3.0 if scenario.kind is Kind.STREAM else 2.0,
        warmup_s=0.5,
        connect_rate=min(scenario.connect_rate, 500.0),
        targets=(),
    )
