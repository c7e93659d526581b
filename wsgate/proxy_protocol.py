"""The PROXY protocol: a load balancer's few bytes about whose connection it passes on.

Sans-IO: :func:`parse` is given what has come in so far. The sections named here are those of
HAProxy's specification, https://github.com/haproxy/haproxy/blob/master/doc/proxy-protocol.txt.

Whoever may write such a header chooses the address it is known by, so a connection from anywhere
but a configured proxy must not be read this way, and one from there in no other (section 2: the
receiver must not guess whether there is a header). That is for the caller to keep.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Final, NamedTuple

V1_SIZE_MAX: Final = 107  # section 2.1, with CRLF
V2_SIZE_MAX: Final = 536  # section 2: a header fits into the smallest TCP segment there may be

_V1_START: Final = b"PROXY "
_V1_SIZE_MIN: Final = len(b"PROXY UNKNOWN\r\n")
_V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED: Final = Struct("!12xBBH")  # version and command, family and transport, size of the rest

# Numbers have no leading zeroes. Which addresses there are is left to ipaddress.
_V1_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: .*)?"
    rb"|(TCP[46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))",
).fullmatch

_LOCAL: Final = 0
_PROXY: Final = 1
_STREAM: Final = 1
_IPV4: Final = 1
_IPV6: Final = 2
_UNIX: Final = 3
# Source and destination, of each an address and, but for AF_UNIX, a port.
_ADDRESSES_SIZE: Final = {0: 0, _IPV4: 12, _IPV6: 36, _UNIX: 216}


class Needed(NamedTuple):
    """The header is incomplete: it has at least ``size_min`` bytes, more than there are yet.

    Who reads no more than that many never reads past the header.
    """

    size_min: int


class Header(NamedTuple):
    """The first ``size`` bytes are the header; what comes after them is the client's.

    ``source`` is the client's address and port, IPv4-mapped IPv6 as IPv4. None: the header names
    none that TCP has, and the peer of the connection is all that is known. A proxy asks for its
    health that way (LOCAL), or serves a client it has no words for (UNKNOWN, UNSPEC, AF_UNIX, UDP).
    """

    size: int
    source: tuple[str, int] | None


class ProxyProtocolError(ValueError):
    """What came in is no header, nor the beginning of one: the connection has to be cut.

    ``reason`` is one of a few fixed texts, and has nothing in it of what came in.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(data: bytes | bytearray) -> Needed | Header:
    """Reads the header that ``data`` begins with; raises ProxyProtocolError if there is none.

    The answer does not depend on how the bytes came in: what was Needed becomes a Header, or an
    error, by more bytes; a Header and an error stay what they are.
    """
    if data.startswith(_V1_START):
        return _parse_v1(data)
    if data.startswith(_V2_SIGNATURE):
        return _parse_v2(data)
    if _V1_START.startswith(data):
        return Needed(_V1_SIZE_MIN)
    if _V2_SIGNATURE.startswith(data):
        return Needed(_V2_FIXED.size)
    raise ProxyProtocolError("the connection does not begin with a PROXY protocol header")


def _parse_v1(data: bytes | bytearray) -> Needed | Header:
    """Section 2.1: one line of text."""
    end = data.find(b"\n", 0, V1_SIZE_MAX)
    if end == V1_SIZE_MAX - 1 and data[end - 1 : end] != b"\r":
        end = -1  # it was too long before its last byte came
    if end < 0:
        size_min = len(data) + (1 if data.endswith(b"\r") else 2)
        if size_min > V1_SIZE_MAX:
            raise ProxyProtocolError(f"a version 1 line has more than {V1_SIZE_MAX} bytes")
        return Needed(max(_V1_SIZE_MIN, size_min))
    # "The receiver must not tolerate a single CR or LF character to end the line."
    line = _V1_LINE(data, 0, end - 1) if data[end - 1 : end] == b"\r" else None
    if line is None:
        raise ProxyProtocolError("a version 1 line has not the form that it should have")
    family = line[1]
    if family is None:
        return Header(end + 1, None)
    kind = IPv4Address if family == b"TCP4" else IPv6Address
    try:
        source, _ = kind(line[2].decode()), kind(line[3].decode())
    except ValueError:
        raise ProxyProtocolError("an address of a version 1 line is none of its family's") from None
    port, destination_port = int(line[4]), int(line[5])
    if max(port, destination_port) > 65535:
        raise ProxyProtocolError("a port of a version 1 line is above 65535")
    return Header(end + 1, (_text(source), port))


def _parse_v2(data: bytes | bytearray) -> Needed | Header:
    """Section 2.2: binary. What follows the addresses (TLVs, a checksum among them) is skipped."""
    if len(data) < _V2_FIXED.size:
        return Needed(_V2_FIXED.size)
    version_command, family_transport, rest = _V2_FIXED.unpack_from(data)
    version, command = divmod(version_command, 16)
    family, transport = divmod(family_transport, 16)
    size = _V2_FIXED.size + rest
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ProxyProtocolError("a binary header has an unknown version or command")
    if size > V2_SIZE_MAX:
        raise ProxyProtocolError(f"a binary header has more than {V2_SIZE_MAX} bytes")
    if command == _PROXY:  # of LOCAL the family is ignored
        if family not in _ADDRESSES_SIZE or transport > 2:
            raise ProxyProtocolError("a binary header has an unknown address family or transport")
        if rest < _ADDRESSES_SIZE[family]:
            raise ProxyProtocolError("a binary header is too small for its addresses")
    if len(data) < size:
        return Needed(size)
    if command == _PROXY and transport == _STREAM:
        if family == _IPV4:
            return Header(size, (str(IPv4Address(bytes(data[16:20]))), _port(data, 24)))
        if family == _IPV6:
            return Header(size, (_text(IPv6Address(bytes(data[16:32]))), _port(data, 48)))
    return Header(size, None)


def _port(data: bytes | bytearray, place: int) -> int:
    return int.from_bytes(data[place : place + 2], "big")


def _text(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
