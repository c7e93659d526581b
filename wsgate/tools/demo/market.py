"""A small token market that never was: seeded, pure, and only as old as the time it is told.

Each token trades against its own pool of bitcoin and tokens with a constant product, so price,
liquidity and market capitalisation always agree with one another. The market has a fixed number
of tokens: a new listing takes the place of the least traded one.

Nothing here reads a clock or does I/O: times are milliseconds since 1970, given by the caller.
The same seed and the same calls give the same bytes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from wsgate.tools.demo import words

TOKENS = 100
TRENDING = 10
SUPPLY = 100_000_000
USD_PER_SAT = 0.001

HEAT_HALF_LIFE_MS = 60_000
MINUTE_MS = 60_000
# Prices "as of" these ages are tracked as moving averages: a believable answer in three floats,
# where a true one would need the history of every token.
LOOKBACKS_MS = (5 * MINUTE_MS, 60 * MINUTE_MS, 24 * 60 * MINUTE_MS)

LIQUIDITY_SHARE = 0.04  # of a token's actions, the rest being trades
STEP = 0.004  # typical trade, as a share of the pool
STEP_MAX = 0.08
HOMING = 0.01  # how strongly a pool that has drifted is pulled back
MOOD_SWING = 0.02


@dataclass(slots=True)
class Token:
    """One token: what is published of it, and the few numbers that move it."""

    id: str
    name: str
    ticker: str
    description: str
    creator: str
    handle: str
    created_ms: int
    btc_liquidity: float  # satoshis
    token_liquidity: float
    home: float  # logarithm of the bitcoin pool that it is pulled back to
    past_prices: list[float]
    volume: float  # US dollars
    holders: int
    buys: int
    sells: int
    comments: int
    last_action: str
    last_action_ms: int
    heat: float
    mood: float = 0.0

    @property
    def price(self) -> float:
        return self.btc_liquidity / self.token_liquidity * USD_PER_SAT

    def heat_at(self, now_ms: int) -> float:
        """Recent volume: what was traded counts half after a minute."""
        return self.heat * _decay(now_ms - self.last_action_ms, HEAT_HALF_LIFE_MS)

    def document(self) -> dict[str, Any]:
        """The full token object, as a backend would publish it after every change."""
        five_minutes, hour, day = self.past_prices
        return {
            "id": self.id,
            "name": self.name,
            "ticker": self.ticker,
            "description": self.description,
            "image": f"/images/{self.id}.webp",
            "creator": self.creator,
            "created_time": iso(self.created_ms),
            "price": rounded(self.price),
            "price_5m": rounded(five_minutes),
            "price_1h": rounded(hour),
            "price_1d": rounded(day),
            "marketcap": round(self.price * SUPPLY),
            "volume": round(self.volume),
            "holder_count": self.holders,
            "btc_liquidity": round(self.btc_liquidity),
            "token_liquidity": round(self.token_liquidity),
            "total_supply": SUPPLY,
            "buy_count": self.buys,
            "sell_count": self.sells,
            "comment_count": self.comments,
            "last_action": self.last_action,
            "last_action_time": iso(self.last_action_ms),
            "socials": {
                "twitter": f"@{self.handle}",
                "telegram": f"@{self.handle}",
                "website": f"https://{self.handle}.example",
            },
        }


class Market:
    """The tokens, and what happens to them: `act`, `comment`, `new_listing`, `trending`."""

    def __init__(self, seed: int, now_ms: int, tokens: int = TOKENS) -> None:
        self._random = random.Random(seed)
        self._names = _shuffled_names(self._random)
        self._named = 0
        self._unsaid: list[str] = []
        # A few tokens get most of the trades, and which ones has nothing to do with their size.
        self._attention = [1 / (place + 3) ** 0.8 for place in range(tokens)]
        self._random.shuffle(self._attention)
        self.tokens = [self._mature_token(now_ms) for _ in range(tokens)]

    def act(self, now_ms: int) -> Token:
        """Something happens to some token: nearly always a trade."""
        token = self._anyone()
        elapsed_ms = max(0, now_ms - token.last_action_ms)
        price_before = token.price
        token.heat = token.heat_at(now_ms)
        token.last_action_ms = now_ms
        if self._random.random() < LIQUIDITY_SHARE:
            self._change_liquidity(token)
        else:
            self._trade(token)
        for i, age_ms in enumerate(LOOKBACKS_MS):
            fading = 1 - math.exp(-elapsed_ms / age_ms)
            token.past_prices[i] += (price_before - token.past_prices[i]) * fading
        return token

    def comment(self, now_ms: int) -> dict[str, Any]:
        """Somebody says something about a token, more likely about one that is traded much."""
        token = self._anyone()
        token.comments += 1
        return {
            "id": self._identifier(12),
            "token_id": token.id,
            "ticker": token.ticker,
            "user": self._person(),
            "text": self._remark(),
            "time": iso(now_ms),
        }

    def new_listing(self, now_ms: int) -> Token:
        """A new token takes the place of the least traded one, and some other token's fame."""
        quietest = min(range(len(self.tokens)), key=lambda i: self.tokens[i].heat_at(now_ms))
        token = self.tokens[quietest] = self._new_token(now_ms)
        other = self._random.randrange(len(self.tokens))
        attention = self._attention
        attention[quietest], attention[other] = attention[other], attention[quietest]
        return token

    def trending(self, now_ms: int) -> dict[str, Any]:
        """The hottest tokens, hottest first, whole: a page can be drawn from this alone."""
        hottest = sorted(self.tokens, key=lambda t: t.heat_at(now_ms), reverse=True)
        return {
            "trending": [token.document() for token in hottest[:TRENDING]],
            "time": iso(now_ms),
        }

    def _anyone(self) -> Token:
        return self._random.choices(self.tokens, self._attention)[0]

    def _trade(self, token: Token) -> None:
        pull = HOMING * (token.home - math.log(token.btc_liquidity))
        token.mood = 0.98 * token.mood + self._random.gauss(0, MOOD_SWING)
        chance_of_buying = 0.5 + min(0.2, max(-0.2, pull + token.mood))
        share = min(STEP_MAX, STEP * self._random.lognormvariate(0, 0.9))
        buying = self._random.random() < chance_of_buying
        product = token.btc_liquidity * token.token_liquidity
        moved = token.btc_liquidity * share
        token.btc_liquidity += moved if buying else -moved
        token.token_liquidity = product / token.btc_liquidity
        token.volume += moved * USD_PER_SAT
        token.heat += moved * USD_PER_SAT
        if buying:
            token.last_action = "buy"
            token.buys += 1
            token.holders += self._random.random() < 0.5
        else:
            token.last_action = "sell"
            token.sells += 1
            token.holders -= token.holders > 2 and self._random.random() < 0.4

    def _change_liquidity(self, token: Token) -> None:
        """Both sides of the pool grow or shrink alike: the price stays where it is."""
        away_from_home = math.log(token.btc_liquidity) - token.home
        adding = self._random.random() < (0.6 if away_from_home < 0 else 0.4)
        factor = 1 + self._random.uniform(0.002, 0.02)
        factor = factor if adding else 1 / factor
        token.btc_liquidity *= factor
        token.token_liquidity *= factor
        token.last_action = "add_liquidity" if adding else "remove_liquidity"

    def _new_token(self, now_ms: int) -> Token:
        first, second = self._names[self._named % len(self._names)]
        generation = self._named // len(self._names)
        self._named += 1
        pool = math.exp(self._random.uniform(math.log(2e7), math.log(4e7)))
        token_liquidity = SUPPLY * self._random.uniform(0.7, 0.8)
        price = pool / token_liquidity * USD_PER_SAT
        return Token(
            id=self._identifier(10),
            name=f"{first} {second}" + (f" {generation + 1}" if generation else ""),
            ticker=_ticker(first, second) + (str(generation + 1) if generation else ""),
            description=self._random.choice(words.DESCRIPTIONS),
            creator=self._person(),
            handle=f"{first}{second}".lower(),
            created_ms=now_ms,
            btc_liquidity=pool,
            token_liquidity=token_liquidity,
            home=math.log(pool) + 1,
            past_prices=[price] * len(LOOKBACKS_MS),
            volume=0.0,
            holders=1,
            buys=0,
            sells=0,
            comments=0,
            last_action="create",
            last_action_ms=now_ms,
            # The founding counts as trade, else the next listing would push this one out.
            heat=pool * USD_PER_SAT,
        )

    def _mature_token(self, now_ms: int) -> Token:
        """A token as it would be after days or weeks of trading."""
        rng = self._random
        token = self._new_token(now_ms - rng.randrange(2, 60) * 24 * 60 * MINUTE_MS)
        token.btc_liquidity = math.exp(rng.uniform(math.log(2e8), math.log(2e10)))
        token.token_liquidity = SUPPLY * rng.uniform(0.2, 0.6)
        token.home = math.log(token.btc_liquidity)
        token.past_prices = [token.price * math.exp(rng.gauss(0, s)) for s in (0.01, 0.04, 0.15)]
        token.volume = token.price * SUPPLY * rng.uniform(0.5, 8)
        token.holders = round(math.exp(rng.uniform(math.log(150), math.log(45_000))))
        token.buys = round(token.holders * rng.uniform(1.5, 4))
        token.sells = round(token.buys * rng.uniform(0.5, 0.9))
        token.comments = rng.randrange(5, 900)
        token.last_action = "buy"
        token.last_action_ms = now_ms - rng.randrange(1_000, 10 * MINUTE_MS)
        token.heat = token.btc_liquidity * USD_PER_SAT * STEP * rng.uniform(0, 4)
        return token

    def _identifier(self, length: int) -> str:
        return "".join(self._random.choices("abcdefghjkmnpqrstuvwxyz23456789", k=length))

    def _remark(self) -> str:
        """Everything is said once before anything is said again."""
        if not self._unsaid:
            self._unsaid = self._random.sample(words.COMMENTS, len(words.COMMENTS))
        return self._unsaid.pop()

    def _person(self) -> str:
        return f"{self._random.choice(words.PEOPLE)}{self._random.randrange(10, 100)}"


def encode(document: dict[str, Any]) -> bytes:
    """Compact JSON, as it goes on the wire."""
    return orjson.dumps(document)


def iso(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rounded(price: float) -> float:
    """Six significant digits: what a price is good for, and a bounded length on the wire."""
    return float(f"{price:.6g}")


def _decay(age_ms: int, half_life_ms: int) -> float:
    return math.exp2(-max(0, age_ms) / half_life_ms)


def _ticker(first: str, second: str) -> str:
    return (first[0] + second[:4]).upper()


def _shuffled_names(rng: random.Random) -> list[tuple[str, str]]:
    """Every pair of words, in random order, leaving out pairs whose ticker is already taken."""
    by_ticker: dict[str, tuple[str, str]] = {}
    for first in words.FIRST:
        for second in words.SECOND:
            by_ticker.setdefault(_ticker(first, second), (first, second))
    names = list(by_ticker.values())
    rng.shuffle(names)
    return names
