"""What a proxy sends first: a header, a wish for more, or an error, however it is cut."""

from __future__ import annotations

from ipaddress import ip_address

from wsgate.proxy_protocol import (
    V1_SIZE_MAX,
    V2_SIZE_MAX,
    Header,
    Needed,
    ProxyProtocolError,
    parse,
)

WORDS = [
    b"PROXY ", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\n", b"PROXY UNKNOWN", b"TCP4 ", b"TCP6 ",
    b"2001:db8::1", b"::ffff:192.0.2.1", b"::", b" 0 ", b"65536", b"\r\n", b"\n", b"\r",
    b"\r\n\r\n\x00\r\nQUIT\n", b"\x20", b"\x21", b"\x11", b"\x12", b"\x21\x22", b"\x31",
    b"\x00\x0c", b"\x00\x24", b"\x00\xd8", b"\xff\xff", b"GET / HTTP/1.1\r\n",
]  # fmt: skip
REASON_LENGTH_MAX = 100
LATER = b"GET / HTTP/1.1\r\n\r\n"


def fuzz(data: bytes) -> None:
    outcome = _outcome(data)
    assert outcome == _outcome(bytearray(data))
    cut = _byte_by_byte(data)
    if isinstance(outcome, Needed):
        assert len(data) < outcome.size_min <= V2_SIZE_MAX
        assert cut == outcome
        return
    # Nothing that comes later changes it, and it was not to be known of less.
    assert _outcome(data + LATER) == outcome
    assert cut == outcome
    if isinstance(outcome, Header):
        assert 0 < outcome.size <= min(len(data), V2_SIZE_MAX)
        assert outcome.size <= V1_SIZE_MAX or not data.startswith(b"PROXY ")
        assert _outcome(data[: outcome.size]) == outcome
        assert isinstance(_outcome(data[: outcome.size - 1]), Needed)
        if outcome.source is not None:
            address, port = outcome.source
            assert str(ip_address(address)) == address
            assert getattr(ip_address(address), "ipv4_mapped", None) is None
            assert type(port) is int and 0 <= port <= 65535


def _byte_by_byte(data: bytes) -> Needed | Header | str:
    """The first answer but Needed as bytes come in one by one; and who reads as much as is needed,
    and no more, comes to the same.
    """
    wanted = 1
    outcome = _outcome(b"")
    for size in range(1, min(len(data), V2_SIZE_MAX + 1) + 1):
        outcome = _outcome(data[:size])
        if not isinstance(outcome, Needed):
            assert size >= wanted or isinstance(outcome, str), "a header ended too early"
            break
        assert outcome.size_min > size and outcome.size_min >= wanted
        wanted = outcome.size_min
    frugal = _read_as_needed(data)
    if isinstance(outcome, Header):
        assert frugal == outcome
    return outcome


def _read_as_needed(data: bytes) -> Needed | Header | str:
    have = 0
    while True:
        outcome = _outcome(data[:have])
        if not isinstance(outcome, Needed) or outcome.size_min > len(data):
            return outcome
        assert outcome.size_min > have
        have = outcome.size_min


def _outcome(data: bytes | bytearray) -> Needed | Header | str:
    try:
        return parse(data)
    except ProxyProtocolError as error:
        assert error.reason == str(error) and 0 < len(error.reason) <= REASON_LENGTH_MAX
        return error.reason
