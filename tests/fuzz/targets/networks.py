"""A peer, trusted networks and X-Forwarded-For, a line each: an address, and by nobody's word.

The first line is the peer's address, the second has the networks, separated by spaces; every other
one is the value of an X-Forwarded-For line.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from wsgate.networks import FORWARDED_MAX, TrustedNetworks, client_address, group

WORDS = [
    b"10.0.0.0/8", b"0.0.0.0/0", b"::/0", b"fd00::/8", b"::ffff:0:0/96", b"10.1.2.3", b"192.0.2.7",
    b"192.0.2.7:4711", b"[2001:db8::7]:443", b"2001:db8::7", b"::ffff:10.1.2.3", b"%eth0",
    b"unknown", b", ", b",", b"\n", b" ", b"\t", b"_hidden", b'"', b"[", b"]", b":",
    b"/", b"0x7f.1", b"127.1",
]  # fmt: skip
TRUSTED_MAX = 64


def fuzz(data: bytes) -> None:
    peer, *lines = data.decode("latin-1").split("\n")
    networks, *values = lines or [""]
    try:
        trusted = TrustedNetworks(networks.split()[:TRUSTED_MAX])
    except ValueError as error:
        assert str(error)
        trusted = TrustedNetworks(["10.0.0.0/8", "fd00::/8"])
    client = client_address(peer, values, trusted)
    if _is_plain(client):
        assert ip_address(client) in ip_network(group(client))
    if client != peer:
        _check_address(client)
    if not trusted.contains(peer):
        assert client == client_address(peer, [], trusted), "a stranger's word was taken"
    assert client == client_address(peer, [",".join(values)] if values else [], trusted)
    # What a client wrote further to the left than the trusted proxies vouch for, changes nothing.
    if not trusted.contains(client):
        assert client == client_address(peer, ["203.0.113.9, " + "1," * 99, *values], trusted)
    assert client_address(peer, values, TrustedNetworks([])) == client_address(
        peer, [], TrustedNetworks([])
    )
    everybody = TrustedNetworks(["0.0.0.0/0", "::/0"])
    entries = [entry for value in values for entry in value.split(",")]
    if entries and everybody.contains(peer):
        plain = [entry.strip(" \t") for entry in entries[-FORWARDED_MAX:]]
        if all(_is_plain(entry) for entry in plain):
            assert client_address(peer, values, everybody) == _in_one_form(plain[0])


def _in_one_form(address: str) -> str:
    """The address in the one form that it has: an IPv4-mapped one as IPv4."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def _is_plain(entry: str) -> bool:
    try:
        ip_address(entry)
    except ValueError:
        return False
    return "%" not in entry


def _check_address(text: str) -> None:
    parsed = ip_address(text)
    assert str(parsed) == text, "not in its one form"
    assert not isinstance(parsed, IPv6Address) or parsed.ipv4_mapped is None
