"""PROXY protocol headers: by the specification's examples, by another library, and in pieces."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from socket import SOCK_STREAM

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxyprotocol.result import ProxyResultIPv4, ProxyResultIPv6, ProxyResultUnix
from proxyprotocol.tlv import ProxyProtocolTLV
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from wsgate.proxy_protocol import (
    V1_SIZE_MAX,
    V2_SIZE_MAX,
    Header,
    Needed,
    ProxyProtocolError,
    parse,
)

fuzz = settings(deadline=None, max_examples=300)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n"


def binary(command: int, family: int, rest: bytes, size: int | None = None) -> bytes:
    """A version 2 header; the upper half of ``command`` is the version."""
    return (
        SIGNATURE + struct.pack("!BBH", command, family, len(rest) if size is None else size) + rest
    )


IPV4_ADDRESSES = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + struct.pack("!HH", 56324, 443)
IPV6_ADDRESSES = (
    IPv6Address("2001:db8::7").packed
    + IPv6Address("fd00::1").packed
    + struct.pack("!HH", 4711, 443)
)
MAPPED_ADDRESSES = IPv6Address("::ffff:192.0.2.7").packed * 2 + struct.pack("!HH", 1, 2)
TLVS = b"\x04\x00\x05noise\xea\x00\x04\x01vpc"

HEADERS = {
    # Section 2.1's own example, and its longest lines.
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n": ("192.168.0.1", 56324),
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": ("255.255.255.255", 65535),
    b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n": ("0.0.0.0", 0),
    b"PROXY TCP6 2001:DB8::7 fd00::1 4711 443\r\n": ("2001:db8::7", 4711),
    b"PROXY TCP6 %b %b 65535 65535\r\n" % ((b"ffff:" * 7 + b"ffff",) * 2): (
        "ffff:" * 7 + "ffff",
        65535,
    ),
    # What a proxy with a socket for both families writes of an IPv4 client.
    b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 4711 443\r\n": ("192.0.2.7", 4711),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN \r\n": None,
    b"PROXY UNKNOWN \xff\0\r whatever\r\n": None,
    b"PROXY UNKNOWN %b %b 65535 65535\r\n" % ((b"ffff:" * 7 + b"ffff",) * 2): None,
    binary(0x21, 0x11, IPV4_ADDRESSES): ("192.0.2.7", 56324),
    binary(0x21, 0x11, IPV4_ADDRESSES + TLVS): ("192.0.2.7", 56324),
    binary(0x21, 0x11, IPV4_ADDRESSES + b"no TLV"): ("192.0.2.7", 56324),
    binary(0x21, 0x11, IPV4_ADDRESSES + bytes(V2_SIZE_MAX - 28)): ("192.0.2.7", 56324),
    binary(0x21, 0x21, IPV6_ADDRESSES): ("2001:db8::7", 4711),
    binary(0x21, 0x21, IPV6_ADDRESSES + TLVS): ("2001:db8::7", 4711),
    binary(0x21, 0x21, MAPPED_ADDRESSES): ("192.0.2.7", 1),
    binary(0x21, 0x31, bytes(216)): None,
    binary(0x21, 0x32, bytes(216)): None,
    binary(0x21, 0x12, IPV4_ADDRESSES): None,
    binary(0x21, 0x22, IPV6_ADDRESSES): None,
    binary(0x21, 0x00, b""): None,
    binary(0x21, 0x00, TLVS): None,
    binary(0x20, 0x00, b""): None,
    # Of LOCAL nothing but the size counts.
    binary(0x20, 0x11, IPV4_ADDRESSES): None,
    binary(0x20, 0x11, b"abc"): None,
    binary(0x20, 0xFF, b"abc"): None,
}


@pytest.mark.parametrize("header", HEADERS, ids=repr)
def test_a_header(header: bytes) -> None:
    expected = Header(len(header), HEADERS[header])
    assert parse(header) == expected
    assert parse(header + REQUEST) == expected
    assert parse(bytearray(header + REQUEST)) == expected


@pytest.mark.parametrize("header", HEADERS, ids=repr)
def test_every_beginning_of_a_header_needs_more_and_never_more_than_it_has(header: bytes) -> None:
    for size in range(len(header)):
        for data in (header[:size], bytearray(header[:size])):
            answer = parse(data)
            assert isinstance(answer, Needed), size
            assert size < answer.size_min <= len(header), size


FORM = "a version 1 line has not the form that it should have"
ADDRESS = "an address of a version 1 line is none of its family's"
PORT = "a port of a version 1 line is above 65535"
LINE = "a version 1 line has more than 107 bytes"
NONE = "the connection does not begin with a PROXY protocol header"
COMMAND = "a binary header has an unknown version or command"
FAMILY = "a binary header has an unknown address family or transport"
SMALL = "a binary header is too small for its addresses"
LARGE = "a binary header has more than 536 bytes"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (REQUEST, NONE),
        (b"G", NONE),
        (b"PROXY\tTCP4", NONE),
        (b"proxy TCP4", NONE),
        (b"\r\n\r\n\0\r\nQUIT\r", NONE),
        (b"\x16\x03\x01", NONE),
        (b"PROXY \r\n", FORM),
        (b"PROXY \n", FORM),
        (b"PROXY TCP4\r\n", FORM),
        (b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", FORM),
        (b"PROXY UNKNOWNS\r\n", FORM),
        (b"PROXY unknown\r\n", FORM),
        (b"PROXY UNKNOWN\n", FORM),
        (b"PROXY UNKNOWN a\nb\r\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", FORM),
        (b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1_0 2\r\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 655360\r\n", FORM),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", FORM),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", PORT),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", PORT),
        (b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", ADDRESS),
        (b"PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n", ADDRESS),
        (b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", ADDRESS),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", ADDRESS),
        (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", ADDRESS),
        (b"PROXY TCP6 1::2::3 ::1 1 2\r\n", ADDRESS),
        (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", LINE),
        (b"PROXY UNKNOWN " + b"x" * 93, LINE),
        (b"PROXY UNKNOWN " + b"x" * 92, LINE),  # 106 bytes, and no CR: too late for CRLF
        (b"PROXY UNKNOWN " + b"x" * 92 + b"\n", LINE),  # the same with what comes next
        (binary(0x11, 0x11, IPV4_ADDRESSES), COMMAND),
        (binary(0x31, 0x11, IPV4_ADDRESSES), COMMAND),
        (binary(0x22, 0x11, IPV4_ADDRESSES), COMMAND),
        (binary(0x21, 0x41, bytes(216)), FAMILY),
        (binary(0x21, 0x13, IPV4_ADDRESSES), FAMILY),
        (binary(0x21, 0x11, IPV4_ADDRESSES[:-1]), SMALL),
        (binary(0x21, 0x21, IPV6_ADDRESSES[:-1]), SMALL),
        (binary(0x21, 0x31, bytes(215)), SMALL),
        # Before anything of the rest has come.
        (binary(0x21, 0x11, b"", size=11), SMALL),
        (binary(0x21, 0x11, b"", size=V2_SIZE_MAX - 15), LARGE),
        (binary(0x20, 0x00, b"", size=65535), LARGE),
    ],
)
def test_what_is_no_header(data: bytes, reason: str) -> None:
    with pytest.raises(ProxyProtocolError) as caught:
        parse(data)
    assert caught.value.reason == str(caught.value) == reason


# ------------------------------------------------------------------------- what others write

PORTS = st.integers(0, 65535)
IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)
OTHER_TLVS = st.dictionaries(st.integers(0xE0, 0xEF), st.binary(max_size=40), max_size=4)


def plain(address: IPv4Address | IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


@fuzz
@given(IPV4, PORTS, IPV4, PORTS, OTHER_TLVS)
def test_ipv4_as_another_library_writes_it(
    source: IPv4Address, port: int, destination: IPv4Address, to: int, tlvs: dict[int, bytes]
) -> None:
    tlv = ProxyProtocolTLV(init=tlvs, auto_crc32c=False)
    result = ProxyResultIPv4((source, port), (destination, to), protocol=SOCK_STREAM, tlv=tlv)
    for packed in (ProxyProtocolV1().pack(result), ProxyProtocolV2().pack(result)):
        assert parse(packed + REQUEST) == Header(len(packed), (str(source), port))


@fuzz
@given(IPV6, PORTS, IPV6, PORTS, OTHER_TLVS)
def test_ipv6_as_another_library_writes_it(
    source: IPv6Address, port: int, destination: IPv6Address, to: int, tlvs: dict[int, bytes]
) -> None:
    tlv = ProxyProtocolTLV(init=tlvs, auto_crc32c=False)
    result = ProxyResultIPv6((source, port), (destination, to), protocol=SOCK_STREAM, tlv=tlv)
    for packed in (ProxyProtocolV1().pack(result), ProxyProtocolV2().pack(result)):
        assert parse(packed + REQUEST) == Header(len(packed), (plain(source), port))


def test_unix_sockets_as_another_library_writes_them() -> None:
    packed = ProxyProtocolV2().pack(ProxyResultUnix("/run/a.sock", "/run/b.sock"))
    assert parse(packed + REQUEST) == Header(len(packed), None)


# -------------------------------------------------------------------------------- any bytes

# Headers with some bytes changed, since what is merely random rarely gets past the first byte.
CHANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=3)


def changed(header: bytes, changes: list[tuple[int, int]], tail: bytes) -> bytes:
    data = bytearray(header + tail)
    for place, value in changes:
        if place < len(data):
            data[place] = value
    return bytes(data)


HOSTILE = (
    st.binary(max_size=600)
    | st.builds(changed, st.sampled_from(list(HEADERS)), CHANGES, st.binary(max_size=20))
    | st.builds(lambda rest: b"PROXY " + rest, st.binary(max_size=120))
    | st.builds(
        lambda rest: b"PROXY TCP" + rest,
        st.text(alphabet="46 .:0159aFx\r\n", max_size=110).map(str.encode),
    )
    | st.builds(
        lambda command, family, size, rest: binary(command, family, rest, size),
        st.sampled_from([0x20, 0x21]) | st.integers(0, 255),
        st.sampled_from([0x00, 0x11, 0x21, 0x31]) | st.integers(0, 255),
        st.integers(0, 600),
        st.binary(max_size=600),
    )
)


def outcome(data: bytes) -> Needed | Header | str:
    try:
        return parse(data)
    except ProxyProtocolError as error:
        return error.reason


@fuzz
@given(HOSTILE)
def test_any_bytes_come_to_one_end_however_they_are_split(data: bytes) -> None:
    last: Needed | Header | str = Needed(1)
    for size in range(len(data) + 1):
        answer = outcome(data[:size])
        if isinstance(last, Needed):
            if isinstance(answer, Needed):
                assert max(size + 1, last.size_min) <= answer.size_min <= V2_SIZE_MAX
            elif isinstance(answer, Header):
                # As soon as the last byte is there, and not before.
                assert last.size_min <= answer.size == size
        else:
            assert answer == last
        last = answer
    assert outcome(data) == last
    if len(data) >= V2_SIZE_MAX or (len(data) >= V1_SIZE_MAX and data.startswith(b"PROXY")):
        assert not isinstance(last, Needed)


@fuzz
@given(HOSTILE)
def test_who_reads_what_is_needed_never_reads_past_the_header(data: bytes) -> None:
    size = 0
    while isinstance(answer := outcome(data[:size]), Needed) and answer.size_min <= len(data):
        size = answer.size_min
    if isinstance(answer, Header):
        assert answer.size == size
