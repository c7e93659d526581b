"""Networks and addresses, by examples and against ipaddress itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate.networks import FORWARDED_MAX, TrustedNetworks, client_address, group

fuzz = settings(deadline=None, max_examples=300)

ADDRESSES = st.ip_addresses().map(str)
INSIDE = TrustedNetworks(["10.0.0.0/8", "fd00::/8"])


# ---------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        (
            "10.0.0.0/8",
            ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
            ["11.0.0.0", "::10.0.0.1"],
        ),
        ("192.0.2.7", ["192.0.2.7", "::ffff:c000:207"], ["192.0.2.6", "192.0.2.8"]),
        ("192.0.2.7/32", ["192.0.2.7"], ["192.0.2.6"]),
        ("10.0.0.0/255.0.0.0", ["10.9.9.9"], ["11.0.0.0"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"], ["::", "::1"]),
        ("2001:db8::/32", ["2001:db8::", "2001:DB8:ffff::1"], ["2001:db9::", "32.1.13.184"]),
        ("::1", ["::1", "0:0:0:0:0:0:0:1"], ["::2", "::", "0.0.0.1"]),
        ("::/0", ["::", "2001:db8::1"], ["1.2.3.4", "::ffff:1.2.3.4"]),
        ("fe80::/10", ["fe80::1", "fe80::1%eth0"], ["fec0::"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.0"]),
        ("::ffff:192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.8"]),
        ("::ffff:0:0/96", ["1.2.3.4"], ["::1.2.3.4"]),
    ],
)
def test_networks(network: str, inside: Sequence[str], outside: Sequence[str]) -> None:
    trusted = TrustedNetworks([network])
    assert [trusted.contains(address) for address in inside] == [True] * len(inside)
    assert [trusted.contains(address) for address in outside] == [False] * len(outside)


def test_what_is_no_address_is_in_no_network() -> None:
    everything = TrustedNetworks(["0.0.0.0/0", "::/0"])
    for text in ("", "unix:", "1.2.3", "1.2.3.4/32", "1.2.3.4:80", "[::1]", " 1.2.3.4", "1" * 9999):
        assert not everything.contains(text), text


def test_an_empty_list_trusts_nobody() -> None:
    assert not TrustedNetworks([]).contains("127.0.0.1")


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        ("", "'' is no network; allowed are networks such as"),
        ("site.example", "'site.example' is no network"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no network"),
        ("10.0.0", "'10.0.0' is no network"),
        ("10.0.0.0/8/8", "'10.0.0.0/8/8' is no network"),
        ("*", "'*' is no network"),
        ("10.0.0.1/8", "'10.0.0.1/8' has bits set beyond its prefix; allowed is 10.0.0.0/8, or"),
        ("2001:db8::1/32", "allowed is 2001:db8::/32, or 2001:db8::1 alone"),
    ],
)
def test_what_is_no_network(network: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        TrustedNetworks(["127.0.0.1", network])
    assert complaint in str(caught.value)


def is_mapped(network: str) -> bool:
    """Whether it is of IPv4 addresses in IPv6's form; those are told by example."""
    parsed = ipaddress.ip_network(network)
    return parsed.prefixlen >= 96 and bool(getattr(parsed.network_address, "ipv4_mapped", None))


NETWORKS = st.builds(
    lambda address, bits: str(
        ipaddress.ip_network(f"{address}/{bits % (address.max_prefixlen + 1)}", strict=False)
    ),
    st.ip_addresses(),
    st.integers(0, 128),
).filter(lambda network: not is_mapped(network))


@fuzz
@given(st.lists(NETWORKS, max_size=4), ADDRESSES, st.data())
def test_networks_agree_with_ipaddress(
    networks: list[str], address: str, data: st.DataObject
) -> None:
    if networks and data.draw(st.booleans()):
        some = ipaddress.ip_network(data.draw(st.sampled_from(networks)))
        offset = data.draw(st.integers(0, some.num_addresses - 1))
        address = str(some[offset])
    parsed = ipaddress.ip_address(address)
    if getattr(parsed, "ipv4_mapped", None):
        return  # those are told by example
    expected = any(parsed in ipaddress.ip_network(network) for network in networks)
    assert TrustedNetworks(networks).contains(address) is expected


# ------------------------------------------------------------------------------------ clients


@pytest.mark.parametrize(
    ("peer", "values", "expected"),
    [
        # Whom nobody has to believe says what he likes.
        ("198.51.100.1", ["192.0.2.7"], "198.51.100.1"),
        ("198.51.100.1", ["10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("::ffff:10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("fd00::1", ["2001:DB8::7"], "2001:db8::7"),
        # What the client itself had put there stands further left.
        ("10.0.0.1", ["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["10.0.0.9, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["6.6.6.6", "192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["6.6.6.6, 192.0.2.7, 10.0.0.3,fd00::2"], "192.0.2.7"),
        ("10.0.0.1", ["6.6.6.6, 192.0.2.7", "10.0.0.3", "::ffff:10.0.0.2"], "192.0.2.7"),
        # Nobody but trusted ones: the first of them.
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # What is no address ends the walk.
        ("10.0.0.1", ["192.0.2.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["192.0.2.7,"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7", ""], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7,,10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        # Not a proxy at all.
        ("", ["192.0.2.7"], ""),
        ("::ffff:198.51.100.1", [], "198.51.100.1"),
    ],
)
def test_client_address(peer: str, values: list[str], expected: str) -> None:
    assert client_address(peer, values, INSIDE) == expected


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        (" \t192.0.2.7\t ", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:0DB8:0:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:4711", "192.0.2.7"),
        ("192.0.2.7:", None),
        ("192.0.2.7:http", None),
        ("192.0.2.7:471100", None),
        ("192.0.2", None),
        ("192.0.2.256", None),
        ("192.0.2.07", None),
        ("192.0.2.7 10.0.0.2", None),
        ("192.0.2.7\n", None),
        ("192.0.2.7\x0b", None),
        ("[192.0.2.7]", None),
        ("[2001:db8::7", None),
        ("2001:db8::7]", None),
        ("[2001:db8::7]4711", None),
        ("fe80::1%eth0", None),
        ('"192.0.2.7"', None),
        ("for=192.0.2.7", None),
        ("_hidden", None),
        ("unix:", None),
        ("١٩٢.0.2.7", None),
        (":", None),
        (".", None),
        ("1" * 100_000, None),
        (":" * 100_000, None),
    ],
)
def test_entries(entry: str, address: str | None) -> None:
    assert client_address("10.0.0.1", [entry], INSIDE) == (address or "10.0.0.1")


@pytest.mark.parametrize("lines", [1, 2, FORWARDED_MAX + 1])
def test_a_walk_is_bounded(lines: int) -> None:
    proxies = [f"10.0.1.{number}" for number in range(FORWARDED_MAX)]

    def walk(entries: list[str]) -> str:
        # The first line has all that the others, one entry each, leave.
        cut = len(entries) - lines + 1
        return client_address("10.0.0.1", [",".join(entries[:cut]), *entries[cut:]], INSIDE)

    assert walk(["192.0.2.7", *proxies[1:]]) == "192.0.2.7"
    assert walk(["192.0.2.7", *proxies]) == proxies[0]
    assert walk(["192.0.2.7", "10.9.9.9", *proxies]) == proxies[0]


def model_client(peer: str, entries: list[str]) -> str:
    """The same from its other end: the rightmost one that is not trusted, or the end of words."""
    chain = [*entries[-FORWARDED_MAX:], peer]
    for place in range(len(chain) - 1, -1, -1):
        if not INSIDE.contains(chain[place]) or place == 0:
            return chain[place]
        if chain[place - 1] == "unknown":
            return chain[place]
    raise AssertionError


ENTRIES = st.sampled_from(
    ["10.0.0.2", "10.0.0.3", "fd00::2", "192.0.2.7", "2001:db8::7", "unknown"]
)


@fuzz
@given(
    st.sampled_from(["10.0.0.1", "198.51.100.1"]),
    st.lists(st.lists(ENTRIES, min_size=1, max_size=FORWARDED_MAX + 2), max_size=4),
)
def test_client_address_agrees_with_the_model(peer: str, lines: list[list[str]]) -> None:
    entries = [entry for line in lines for entry in line]
    values = [", ".join(line) for line in lines]
    assert client_address(peer, values, INSIDE) == model_client(peer, entries)


@fuzz
@given(st.lists(st.text(max_size=80), max_size=4), st.sampled_from(["10.0.0.1", "198.51.100.1"]))
def test_any_header_gives_an_address(values: list[str], peer: str) -> None:
    client = client_address(peer, values, INSIDE)
    assert str(ipaddress.ip_address(client)) == client


# ------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("@socket", "@socket"),
    ],
)
def test_group(address: str, expected: str) -> None:
    assert group(address) == expected


@fuzz
@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.booleans())
def test_a_group_is_a_whole_64(
    one: ipaddress.IPv6Address, other: ipaddress.IPv6Address, near: bool
) -> None:
    if near:
        other = ipaddress.IPv6Address(int(one) >> 64 << 64 | int(other) & (1 << 64) - 1)
    if one.ipv4_mapped or other.ipv4_mapped:
        return
    assert (group(str(one)) == group(str(other))) is (int(one) >> 64 == int(other) >> 64)
    assert one in ipaddress.ip_network(group(str(one)))


@fuzz
@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_an_ipv4_address_is_a_group(
    one: ipaddress.IPv4Address, other: ipaddress.IPv4Address
) -> None:
    assert (group(str(one)) == group(f"::ffff:{other}")) is (one == other)
