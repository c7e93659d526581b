"""Who a client is on the network: whose word is taken for it, and what counts as one address.

IPv4-mapped IPv6 addresses (``::ffff:192.0.2.7``, RFC 4291 section 2.5.5.2), which a socket for
both families shows, are IPv4 addresses everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import islice
from typing import Final

FORWARDED_MAX: Final = 16  # proxies one behind the other; more are not followed
IPV6_GROUP_BITS: Final = 64

_CACHED_MAX: Final = 4096
_LENGTH_MAX: Final = 64  # of an address as text, with a zone such as "%eth0"

# "192.0.2.7", "192.0.2.7:4711", "[2001:db8::7]", "[2001:db8::7]:4711" or "2001:db8::7".
_FORWARDED = re.compile(
    r"(?:(?P<v4>[0-9.]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?|(?P<bare>[0-9A-Fa-f:.]+)"
).fullmatch


class TrustedNetworks:
    """Networks whose proxies are believed when they say for whom they speak.

    Given as CIDR (``10.0.0.0/8``, ``2001:db8::/32``) or single addresses; ValueError says which
    of them is none. An empty list trusts nobody.
    """

    __slots__ = ("_masks",)

    def __init__(self, networks: Iterable[str]) -> None:
        # By version: what is left of an address under the first is the second.
        self._masks: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for text in networks:
            network = _network(text)
            mask = int(network.netmask), int(network.network_address)
            self._masks[network.version].append(mask)

    def contains(self, address: str) -> bool:
        """Whether it is in one of the networks; what is no address is in none."""
        parsed = _parse(address)
        if parsed is None:
            return False
        number = int(parsed)
        return any(number & mask == network for mask, network in self._masks[parsed.version])


def client_address(peer: str, forwarded_for_values: Sequence[str], trusted: TrustedNetworks) -> str:
    """The nearest address that is no trusted proxy's: the client, as far as anybody knows.

    ``forwarded_for_values`` are the values of all X-Forwarded-For lines, in their order. Each proxy
    adds at the right whom it was called by, so the walk begins with the peer and goes from right to
    left, only ever as far as the word of a trusted proxy reaches. It ends before an entry that is
    no address, an empty one too, and after FORWARDED_MAX.
    """
    client = _canonical(peer)
    for entry in islice(_from_the_right(forwarded_for_values), FORWARDED_MAX):
        if not trusted.contains(client):
            break
        address = _forwarded(entry)
        if address is None:
            break
        client = address
    return client


def group(address: str) -> str:
    """The key by which addresses share limits: an IPv4 address, the /64 of an IPv6 address.

    What is no address, as the peer of a Unix socket, is its own group.
    """
    parsed = _parse(address)
    if not isinstance(parsed, IPv6Address):
        return _canonical(address)
    host_bits = 128 - IPV6_GROUP_BITS
    return f"{IPv6Address(int(parsed) >> host_bits << host_bits)}/{IPV6_GROUP_BITS}"


def _from_the_right(values: Sequence[str]) -> Iterator[str]:
    for value in reversed(values):
        # A cut more than entries wanted: what is left whole at the left is not looked at.
        yield from reversed(value.rsplit(",", FORWARDED_MAX))


def _forwarded(entry: str) -> str | None:
    """An entry's address, without port and brackets; None if it has none."""
    found = _FORWARDED(entry.strip(" \t"))
    if found is None:
        return None
    address = _parse(found["v4"] or found["v6"] or found["bare"])
    if address is None or (found["v6"] and ":" not in found["v6"]):
        return None
    return str(address)


def _canonical(address: str) -> str:
    parsed = _parse(address)
    return address if parsed is None else str(parsed)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    return _parse_cached(text) if len(text) <= _LENGTH_MAX else None


# A client's address is asked about several times while it connects, a proxy's for every client.
@lru_cache(maxsize=_CACHED_MAX)
def _parse_cached(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is no network; allowed are networks such as 10.0.0.0/8 or 2001:db8::/32,"
            " and single addresses"
        ) from None
    address = text.partition("/")[0]
    if ip_address(address) != network.network_address:
        raise ValueError(
            f"{text!r} has bits set beyond its prefix; allowed is {network}, or {address} alone"
        )
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network
