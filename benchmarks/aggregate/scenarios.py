"""What backends publish, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.fanout.scenarios import Kind, Scenario


def _traffic(name: str, channels: str, count: int, rate: float) -> Scenario:
    return Scenario(name, "", Kind.STREAM, f"raw.{channels}", per_template=count, rate=rate)


@dataclass(frozen=True)
class Market:
    """``traffic``: each part has channels of its own, all published equally often."""

    name: str
    about: str
    traffic: tuple[Scenario, ...]
    window_ms: int = 100
    seconds: float = 20.0
    warmup_s: float = 3.0

    @property
    def rate(self) -> float:
        """Publications a second."""
        return sum(one.rate * one.per_template for one in self.traffic)

    @property
    def channels(self) -> int:
        return sum(one.per_template for one in self.traffic)


MARKETS = (
    Market(
        "skewed",
        "as markets are: most of it on a few channels, and some events",
        (
            _traffic("hot", "token.h%03u.update", 100, 100.0),
            _traffic("cold", "token.c%04u.update", 1880, 1.25),
            _traffic("comments", "token.e%02u.comment", 20, 7.5),
        ),
    ),
    Market(
        "even",
        "each channel is quiet for longer than a window: nothing can be saved",
        (_traffic("all", "token.a%04u.update", 2000, 6.25),),
    ),
    Market(
        "fourfold",
        "four times as much: each channel 25 times a second",
        (_traffic("all", "token.a%04u.update", 2000, 25.0),),
    ),
)


def shortened(market: Market) -> Market:
    return replace(market, seconds=3.0, warmup_s=1.0)
