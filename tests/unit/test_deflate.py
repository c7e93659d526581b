"""What is agreed on permessage-deflate, offer by offer, and that what we compress inflates."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orjson import dumps

from wsgate import deflate
from wsgate.core.frame import Frame
from wsgate.deflate import SYNC_TAIL, agree

PLAIN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offer", "response", "window_bits"),
    [
        ("permessage-deflate", PLAIN, 15),
        ("permessage-deflate; client_max_window_bits", PLAIN, 15),
        ("permessage-deflate;client_max_window_bits=9", PLAIN, 15),
        ("permessage-deflate; client_max_window_bits=15", PLAIN, 15),
        ('permessage-deflate; client_max_window_bits="10"', PLAIN, 15),
        ("permessage-deflate; server_no_context_takeover", PLAIN, 15),
        ("permessage-deflate; client_no_context_takeover", PLAIN, 15),
        (
            "permessage-deflate; server_max_window_bits=15",
            PLAIN + "; server_max_window_bits=15",
            15,
        ),
        ("permessage-deflate; server_max_window_bits=9", PLAIN + "; server_max_window_bits=9", 9),
        (
            "permessage-deflate ; server_no_context_takeover ; server_max_window_bits = 8",
            PLAIN + "; server_max_window_bits=8",
            8,
        ),
        ("x-webkit-deflate-frame, permessage-deflate", PLAIN, 15),
    ],
)
def test_offers_that_can_be_met(offer: str, response: str, window_bits: int) -> None:
    assert agree(offer) == (response, window_bits)


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "permessage-bzip2",
        "permessage-deflate2",
        "x-permessage-deflate",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=-9",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=1000000000000",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=10",
        "permessage-deflate;",
        "permessage-deflate; =9",
    ],
)
def test_offers_that_cannot(offer: str) -> None:
    assert agree(offer) is None


def test_the_first_offer_that_can_be_met_is_taken() -> None:
    offers = (
        "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=10,"
        " permessage-deflate"
    )
    assert agree(offers) == (PLAIN + "; server_max_window_bits=10", 10)


MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS {} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
)


@pytest.mark.parametrize(
    ("user_agent", "agrees"),
    [
        (MAC + "Version/15.0 Safari/605.1.15", False),
        (MAC + "Version/15.3 Safari/605.1.15", False),
        (MAC + "Version/15.4 Safari/605.1.15", True),
        (MAC + "Version/14.1.2 Safari/605.1.15", True),
        (MAC + "Version/15.30 Safari/605.1.15", True),
        (PHONE.format("15_2_1") + "Version/15.2 Mobile/15E148 Safari/604.1", False),
        (PHONE.format("15_1") + "CriOS/96.0.4664.53 Mobile/15E148 Safari/604.1", False),
        (PHONE.format("15_4") + "CriOS/96.0.4664.53 Mobile/15E148 Safari/604.1", True),
        (PHONE.format("16_0") + "Version/16.0 Mobile/15E148 Safari/604.1", True),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36", True),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", True),
        ("", True),
    ],
)
def test_browsers_whose_inflate_is_broken_get_none(user_agent: str, agrees: bool) -> None:
    assert (agree("permessage-deflate", user_agent) is not None) == agrees


@given(
    st.text(max_size=200)
    | st.text(alphabet='permessage-deflate;,= \t"_winboxtcakv0159', max_size=80)
)
def test_any_offer_is_answered_by_the_book_or_not_at_all(offer: str) -> None:
    agreement = agree(offer) or agree(f"permessage-deflate; {offer}")
    if agreement is not None:
        assert agreement.response.isascii()
        assert agreement.response.startswith(PLAIN)
        assert 8 <= agreement.window_bits <= 15


def test_a_long_offer_costs_little() -> None:
    assert agree(", ".join(["permessage-deflate; x"] * 10_000 + ["permessage-deflate"])) is None


def inflate(payload: bytes) -> bytes:
    stream = zlib.decompressobj(-15)
    return stream.decompress(payload + SYNC_TAIL)


@pytest.mark.parametrize("compress", [deflate.compress, deflate._by_zlib])
@given(st.binary(max_size=300) | st.binary(min_size=1, max_size=20).map(lambda part: part * 900))
def test_what_is_compressed_comes_back(compress, payload: bytes) -> None:  # type: ignore[no-untyped-def]
    squeezed = compress(payload)
    assert inflate(squeezed) == payload
    assert not squeezed.endswith(SYNC_TAIL)


def token_update(number: int) -> bytes:
    """What a trading site publishes of a token: mostly names and digits, 560 bytes of them."""
    chance = Random(number)
    token = {
        "id": f"{chance.getrandbits(128):032x}",
        "symbol": f"TKN{number}",
        "name": f"Token number {number}",
        "price": chance.random() * 10,
        "price_change_24h": chance.uniform(-20, 20),
        "market_cap": chance.random() * 1e7,
        "volume_24h": chance.random() * 1e6,
        "liquidity": chance.random() * 1e5,
        "holders": chance.randrange(10_000),
        "transactions": {"buys": chance.randrange(1000), "sells": chance.randrange(1000)},
        "creator": f"{chance.getrandbits(160):040x}",
        "image": f"https://cdn.example.com/tokens/{number}.png",
        "updated_at": f"2026-11-24T10:{chance.randrange(60):02d}:00.{chance.randrange(1000):03d}Z",
    }
    return bytes(Frame.publication("token_update", f"token.t{number}.update", 7, 6, dumps(token)))


@pytest.mark.parametrize("compress", [deflate.compress, deflate._by_zlib])
def test_it_saves_what_zlib_saves_at_level_6(compress: Callable[[bytes], bytes]) -> None:
    plain = [token_update(number) for number in range(500)]

    def zlib_6(payload: bytes) -> bytes:
        stream = zlib.compressobj(6, zlib.DEFLATED, -15)
        return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def saved(by: Callable[[bytes], bytes]) -> float:
        return 1 - sum(len(by(one)) for one in plain) / sum(map(len, plain))

    assert saved(compress) >= 0.99 * saved(zlib_6)
    assert saved(compress) > 0.25
