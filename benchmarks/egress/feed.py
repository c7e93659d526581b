"""A seeded feed of token updates as a trading site publishes them: whole objects, at every trade.

Each token trades against its own pool of bitcoin and tokens with a constant product, so that what a
trade changes, it changes together: price, liquidity, volume, counts, times. No clock, no I/O: the
same seed gives the same bytes, whatever else is measured with them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

TOKENS = 100
UPDATES = 20_000
SEED = 20_261_127
STARTED_MS = 1_790_000_000_000
BETWEEN_MS = 50  # updates, on average, of all tokens together
SUPPLY = 100_000_000
USD_PER_SAT = 0.001
TRADE = 0.006  # typical, as a share of the pool
LOOKBACKS_MS = (300_000, 3_600_000, 86_400_000)
WORDS = (
    "amber ancient bitter bold brave calm clever cosmic crimson curious dizzy eager electric fancy"
    " feral frozen gentle giant golden grumpy hollow humble icy jolly kind lazy little lucky lunar"
    " mellow mighty misty neon noble odd pale polite proud quick quiet rapid rusty silent silver"
    " sleepy solar sour spicy stormy sunny swift tame tiny velvet vivid wandering wild wise young"
    " badger beetle bison cactus camel cobra condor coyote crab crane dingo dragon eagle falcon"
    " ferret fox gecko goose hawk heron hippo ibex iguana jackal koala lemur llama lobster lynx"
    " mango marmot moose moth newt ocelot otter owl panda parrot pelican pepper pigeon pony puffin"
    " quail rabbit raven salmon seal shark sloth snail sparrow squid stork tapir tiger toad turtle"
    " viper walrus whale wolf wombat yak zebra"
).split()
ADJECTIVES = 58  # of WORDS; the others are nouns
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Update:
    channel: str
    payload: bytes


@dataclass(slots=True)
class Token:
    id: str
    name: str
    description: str
    creator: str
    created_ms: int
    btc: float  # satoshis in the pool
    tokens: float  # ... and what they trade against
    volume: float  # US dollars
    holders: int
    buys: int
    sells: int
    comments: int
    past: list[float] = field(default_factory=list)
    action: str = "buy"
    acted_ms: int = STARTED_MS

    @property
    def price(self) -> float:
        return self.btc / self.tokens * USD_PER_SAT

    def trade(self, chance: random.Random, now_ms: int) -> None:
        price = self.price
        for place, span_ms in enumerate(LOOKBACKS_MS):
            weight = 1 - math.exp((self.acted_ms - now_ms) / span_ms)
            self.past[place] += (price - self.past[place]) * weight
        part = self.btc * min(0.1, chance.lognormvariate(math.log(TRADE), 0.8))
        product = self.btc * self.tokens
        if chance.random() < 0.5:
            self.action, self.buys = "buy", self.buys + 1
            self.btc += part
            self.holders += chance.random() < 0.3
        else:
            self.action, self.sells = "sell", self.sells + 1
            self.btc -= part
            self.holders -= chance.random() < 0.25
        self.tokens = product / self.btc
        self.volume += part * USD_PER_SAT
        self.comments += chance.random() < 0.02
        self.acted_ms = now_ms

    def document(self) -> dict[str, Any]:
        in_5m, in_1h, in_1d = self.past
        return {
            "id": self.id,
            "name": self.name,
            "ticker": "".join(word[:2] for word in self.name.split()).upper(),
            "description": self.description,
            "image": f"/images/{self.id}.webp",
            "creator": self.creator,
            "created_time": _iso(self.created_ms),
            "price": _rounded(self.price),
            "price_5m": _rounded(in_5m),
            "price_1h": _rounded(in_1h),
            "price_1d": _rounded(in_1d),
            "marketcap": round(self.price * SUPPLY),
            "volume": round(self.volume),
            "holder_count": self.holders,
            "btc_liquidity": round(self.btc),
            "token_liquidity": round(self.tokens),
            "total_supply": SUPPLY,
            "buy_count": self.buys,
            "sell_count": self.sells,
            "comment_count": self.comments,
            "last_action": self.action,
            "last_action_time": _iso(self.acted_ms),
        }


def updates(count: int = UPDATES, tokens: int = TOKENS, seed: int = SEED) -> Iterator[Update]:
    """`count` updates of `tokens` tokens, any of which may be the next to be traded."""
    chance = random.Random(seed)
    market = [_token(chance) for _ in range(tokens)]
    now_ms = float(STARTED_MS)
    for _ in range(count):
        now_ms += chance.expovariate(1 / BETWEEN_MS)
        token = chance.choice(market)
        token.trade(chance, int(now_ms))
        yield Update(f"token.{token.id}.update", orjson.dumps(token.document()))


def _token(chance: random.Random) -> Token:
    name = f"{chance.choice(WORDS[:ADJECTIVES])} {chance.choice(WORDS[ADJECTIVES:])}".title()
    btc = chance.lognormvariate(math.log(2e9), 1.2)
    token = Token(
        id="".join(chance.choices(LETTERS, k=10)),
        name=name,
        description=" ".join(chance.choices(WORDS, k=chance.randint(4, 12))).capitalize() + ".",
        creator=f"{chance.choice(WORDS)}{chance.randrange(1000)}",
        created_ms=STARTED_MS - chance.randrange(90 * LOOKBACKS_MS[2]),
        btc=btc,
        tokens=SUPPLY * chance.uniform(0.2, 0.8),
        volume=btc * USD_PER_SAT * chance.lognormvariate(1, 1),
        holders=chance.randrange(100, 30_000),
        buys=chance.randrange(1000, 80_000),
        sells=chance.randrange(1000, 60_000),
        comments=chance.randrange(2000),
    )
    token.past = [token.price * chance.uniform(0.9, 1.1) for _ in LOOKBACKS_MS]
    return token


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def _rounded(price: float) -> float:
    """Six digits that count, as prices of tokens are shown."""
    return float(f"{price:.6g}")
