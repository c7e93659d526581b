"""The demo's market and backend: believable, bounded, and the same again for the same seed."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from wsgate.tools.demo.backend import CATCH_UP_S, TRENDING_INTERVAL_S, Backend, Publication
from wsgate.tools.demo.market import SUPPLY, TOKENS, TRENDING, Market, Token, encode

START_MS = 1_700_000_000_000
START_S = START_MS / 1000
DAY_S = 24 * 60 * 60

SUBJECT = re.compile(r"global\.(trending|new_listing)|token\.[a-z0-9]+\.(update|comment)")


def play(market: Market, actions: int, *, step_ms: int = 50) -> Iterator[Token]:
    """Trades with a listing now and then; yields every token object worth publishing."""
    for i in range(1, actions + 1):
        now_ms = START_MS + i * step_ms
        yield market.act(now_ms)
        if i % 100 == 0:
            yield market.new_listing(now_ms)


def run(backend: Backend, seconds: float, *, step_s: float = 0.05) -> list[Publication]:
    published = backend.opening()
    for i in range(1, round(seconds / step_s) + 1):
        published += backend.due(START_S + i * step_s)
    return published


class TestMarket:
    def test_the_same_seed_makes_the_same_bytes(self) -> None:
        def history(seed: int) -> list[bytes]:
            market = Market(seed, START_MS)
            documents = [encode(token.document()) for token in play(market, 2_000)]
            end_ms = START_MS + 200_000
            comments = [encode(market.comment(end_ms)) for _ in range(50)]
            return [*documents, *comments, encode(market.trending(end_ms))]

        assert history(7) == history(7)
        assert history(7) != history(8)

    @pytest.mark.parametrize("seed", range(3))
    def test_token_objects_stay_within_500_to_800_bytes(self, seed: int) -> None:
        market = Market(seed, START_MS)
        sizes = [len(encode(token.document())) for token in market.tokens]
        sizes += [len(encode(token.document())) for token in play(market, 30_000)]
        assert min(sizes) >= 500
        assert max(sizes) <= 800

    def test_a_token_object_is_whole_and_agrees_with_itself(self) -> None:
        for token in play(Market(1, START_MS), 5_000):
            document = json.loads(encode(token.document()))
            assert document["id"] == token.id
            assert {"name", "ticker", "creator", "description", "socials"} <= document.keys()
            assert {"volume", "holder_count", "last_action_time"} <= document.keys()
            assert document["price"] > 0
            assert document["holder_count"] >= 1
            value = document["price"] * SUPPLY
            assert document["marketcap"] == pytest.approx(value, rel=1e-5, abs=1)
            pool_price = document["btc_liquidity"] / document["token_liquidity"] * 0.001
            assert document["price"] == pytest.approx(pool_price, rel=1e-5)

    def test_prices_wander_and_come_back(self) -> None:
        market = Market(3, START_MS)
        first = {token.id: token.price for token in market.tokens}
        for i in range(60_000):
            market.act(START_MS + i * 50)
        moves = [abs(math.log(token.price / first[token.id])) for token in market.tokens]
        assert sum(move > 0.05 for move in moves) > TOKENS / 2
        assert max(moves) < math.log(1000)

    def test_a_trade_moves_the_price_the_way_it_says(self) -> None:
        market = Market(2, START_MS)
        seen = Counter[str]()
        for i in range(3_000):
            before = {token.id: token.price for token in market.tokens}
            token = market.act(START_MS + i * 50)
            seen[token.last_action] += 1
            change = token.price / before[token.id] - 1
            if token.last_action == "buy":
                assert change > 0
            elif token.last_action == "sell":
                assert change < 0
            else:
                assert change == pytest.approx(0, abs=1e-9)
        assert set(seen) == {"buy", "sell", "add_liquidity", "remove_liquidity"}

    def test_a_listing_keeps_the_number_of_tokens_and_every_id_and_ticker_apart(self) -> None:
        market = Market(4, START_MS)
        ever = {token.id for token in market.tokens}
        for i in range(1_000):
            token = market.new_listing(START_MS + i * 1_000)
            assert token in market.tokens
            assert token.id not in ever
            ever.add(token.id)
            assert len(market.tokens) == TOKENS
        assert len({token.ticker for token in market.tokens}) == TOKENS

    def test_a_listing_is_not_pushed_out_by_the_next(self) -> None:
        market = Market(5, START_MS)
        first = market.new_listing(START_MS)
        market.new_listing(START_MS + 1_000)
        assert first in market.tokens

    def test_trending_lists_what_is_traded_most_hottest_first(self) -> None:
        market = Market(6, START_MS)
        for i in range(5_000):
            market.act(START_MS + i * 20)
        now_ms = START_MS + 100_000
        listed = [token["id"] for token in market.trending(now_ms)["trending"]]
        heat = {token.id: token.heat_at(now_ms) for token in market.tokens}
        assert listed == sorted(heat, key=lambda id: heat[id], reverse=True)[:TRENDING]

    def test_comments_are_about_a_token_of_the_market(self) -> None:
        market = Market(1, START_MS)
        tickers = {token.id: token.ticker for token in market.tokens}
        comments = [json.loads(encode(market.comment(START_MS))) for _ in range(200)]
        assert all(tickers[comment["token_id"]] == comment["ticker"] for comment in comments)
        assert all(comment["user"] and comment["text"] for comment in comments)
        assert len({comment["id"] for comment in comments}) == len(comments)


class TestBackend:
    def test_the_opening_publishes_every_token(self) -> None:
        subjects = {subject for subject, _ in Backend(seed=1, rate=10, now_s=START_S).opening()}
        assert len(subjects) == TOKENS

    def test_everything_published_is_json_under_a_subject_of_the_contract(self) -> None:
        for subject, payload in run(Backend(seed=1, rate=50, now_s=START_S), 120):
            assert SUBJECT.fullmatch(subject), subject
            assert isinstance(json.loads(payload), dict)

    @pytest.mark.parametrize("rate", [0.5, 20, 2_000])
    def test_trades_come_at_the_rate_asked_for(self, rate: float) -> None:
        seconds = max(10.0, 1_000 / rate)
        published = run(Backend(seed=1, rate=rate, now_s=START_S), seconds)
        kinds = Counter(subject.rsplit(".", 1)[1] for subject, _ in published)
        trades = kinds["update"] - TOKENS - kinds["new_listing"]
        assert trades == pytest.approx(rate * seconds, rel=0.15)

    def test_trending_comes_every_five_seconds(self) -> None:
        backend = Backend(seed=1, rate=1, now_s=START_S)
        moments = []
        for i in range(1, 601):
            now_s = START_S + i * 0.1
            if any(subject == "global.trending" for subject, _ in backend.due(now_s)):
                moments.append(now_s)
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert len(gaps) >= 10
        assert gaps == pytest.approx([TRENDING_INTERVAL_S] * len(gaps), abs=0.11)

    def test_a_new_token_is_listed_before_its_first_update(self) -> None:
        published = run(Backend(seed=1, rate=20, now_s=START_S), 120)
        known = {subject for subject, _ in published[:TOKENS]}
        listings = 0
        for subject, payload in published:
            if subject == "global.new_listing":
                update = f"token.{json.loads(payload)['id']}.update"
                assert update not in known
                known.add(update)
                listings += 1
            elif subject.endswith(".update"):
                assert subject in known
        assert listings > 0

    def test_after_a_long_sleep_only_the_last_second_is_made_up_for(self) -> None:
        backend = Backend(seed=1, rate=1_000, now_s=START_S)
        burst = backend.due(START_S + DAY_S)
        assert len(burst) < 2 * 1_000 * CATCH_UP_S

    def test_a_clock_that_is_set_back_does_no_harm(self) -> None:
        backend = Backend(seed=1, rate=100, now_s=START_S)
        assert backend.due(START_S + 2)
        assert backend.due(START_S - DAY_S) == []
        assert backend.due(START_S + 4)

    @pytest.mark.parametrize("rate", [0, -1])
    def test_a_rate_that_makes_no_market_is_refused(self, rate: float) -> None:
        with pytest.raises(ValueError, match="rate"):
            Backend(seed=1, rate=rate, now_s=START_S)

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_it_publishes_through_functions_and_coroutine_functions(
        self, asynchronous: bool
    ) -> None:
        published: list[str] = []
        enough = TOKENS + 50

        def publish(subject: str, _payload: bytes) -> None:
            published.append(subject)
            if len(published) >= enough:
                raise EnoughError

        async def publish_soon(subject: str, payload: bytes) -> None:
            publish(subject, payload)

        async def main() -> None:
            backend = Backend(seed=1, rate=5_000, now_s=START_S)
            ticks = iter(range(1_000_000))
            await backend.run(
                publish_soon if asynchronous else publish,
                clock=lambda: START_S + next(ticks) * 0.001,
            )

        with pytest.raises(EnoughError):
            asyncio.run(main())
        assert len(published) == enough


class EnoughError(Exception):
    """Ends the backend's endless loop."""
