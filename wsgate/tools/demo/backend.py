"""The demo's backend: what a trading site would publish, at the times it would.

`Backend.due` is plain arithmetic on the time it is given; `Backend.run` is the loop around it
that publishes to whatever it is handed: a NATS connection or the gateway's own in-process source.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable, Iterator

from wsgate.tools.demo.market import Market, Token, encode

Publication = tuple[str, bytes]
Publish = Callable[[str, bytes], object]

TRENDING_INTERVAL_S = 5.0
COMMENT_INTERVAL_S = 2.0
LISTING_INTERVAL_S = 20.0
PAUSE_MIN_S = 0.001
# After a suspended laptop wakes up, hours of trades are due: let all but the last second go.
CATCH_UP_S = 1.0


class Arrivals:
    """Random moments, a given interval apart on average, as people's actions are."""

    def __init__(self, rng: random.Random, interval_s: float, now_s: float) -> None:
        self._random = rng
        self._interval_s = interval_s
        self.next_s = now_s + self._gap_s()

    def until(self, now_s: float) -> Iterator[float]:
        self.next_s = max(self.next_s, now_s - CATCH_UP_S)
        while self.next_s <= now_s:
            yield self.next_s
            self.next_s += self._gap_s()

    def _gap_s(self) -> float:
        return self._random.expovariate(1 / self._interval_s)


class Backend:
    """Publishes a market at `rate` trades a second, and what happens beside the trades."""

    def __init__(self, *, seed: int, rate: float, now_s: float) -> None:
        if rate <= 0:
            raise ValueError(f"rate must be more than 0 trades a second, not {rate}")
        self.market = Market(seed, _ms(now_s))
        rng = random.Random(seed + 1)
        self._trades = Arrivals(rng, 1 / rate, now_s)
        self._comments = Arrivals(rng, COMMENT_INTERVAL_S, now_s)
        self._listings = Arrivals(rng, LISTING_INTERVAL_S, now_s)
        self._trending_s = now_s

    def opening(self) -> list[Publication]:
        """Every token once, so that whoever subscribes sees a full market at once."""
        return [_update(token) for token in self.market.tokens]

    def due(self, now_s: float) -> list[Publication]:
        """Everything that has happened since the last call."""
        happened = [_update(self.market.act(_ms(at_s))) for at_s in self._trades.until(now_s)]
        for _ in self._comments.until(now_s):
            comment = self.market.comment(_ms(now_s))
            happened.append((f"token.{comment['token_id']}.comment", encode(comment)))
        for _ in self._listings.until(now_s):
            token = self.market.new_listing(_ms(now_s))
            happened += [("global.new_listing", encode(token.document())), _update(token)]
        if now_s >= self._trending_s:
            self._trending_s = now_s + TRENDING_INTERVAL_S
            happened.append(("global.trending", encode(self.market.trending(_ms(now_s)))))
        return happened

    @property
    def next_s(self) -> float:
        """When something is due next."""
        streams = (self._trades, self._comments, self._listings)
        return min(self._trending_s, *(stream.next_s for stream in streams))

    async def run(self, publish: Publish, clock: Callable[[], float] = time.time) -> None:
        """Publish for ever; `publish` may be a plain function or a coroutine function."""
        await _publish_all(publish, self.opening())
        while True:
            await _publish_all(publish, self.due(clock()))
            await asyncio.sleep(max(PAUSE_MIN_S, self.next_s - clock()))


def _update(token: Token) -> Publication:
    return f"token.{token.id}.update", encode(token.document())


async def _publish_all(publish: Publish, publications: list[Publication]) -> None:
    for subject, payload in publications:
        sent = publish(subject, payload)
        if inspect.isawaitable(sent):
            await sent


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
