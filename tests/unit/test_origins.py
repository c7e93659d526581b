"""Which Origin headers pass which list."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate.origins import Origins

fuzz = settings(deadline=None, max_examples=300)


@pytest.mark.parametrize(
    ("entry", "allowed", "refused"),
    [
        (
            "https://site.example",
            ["https://site.example", "https://site.example:443", "HTTPS://Site.EXAMPLE"],
            [
                "http://site.example",
                "https://site.example:8443",
                "https://site.example:80",
                "https://www.site.example",
                "https://example",
                "https://site.example.evil.example",
                "https://evilsite.example",
                "https://site.example.",
                "https://site.example/",
                "https://site.example@evil.example",
                "https://user@site.example",
                "https://site.example https://evil.example",
                "https://site.example\n",
                " https://site.example",
                "https://site.example:",
                "https://site.example:0443x",
                "https://site.example:99999",
                "https://SITE.EXAMPLE\u212a",
                "site.example",
                "//site.example",
                "null",
                "",
                "*",
            ],
        ),
        ("HTTPS://Site.Example:443", ["https://site.example"], ["https://site.example:444"]),
        ("http://site.example:80", ["http://site.example", "http://site.example:80"], []),
        ("http://site.example:443", ["http://site.example:443"], ["http://site.example"]),
        (
            "http://localhost:8080",
            ["http://localhost:8080"],
            ["http://localhost", "http://localhost:8081", "https://localhost:8080"],
        ),
        ("http://127.0.0.1:8080", ["http://127.0.0.1:8080"], ["http://127.0.0.1"]),
        ("http://[0:0::1]:8080", ["http://[::1]:8080", "http://[0::1]:8080"], ["http://[::1]"]),
        ("capacitor://localhost", ["capacitor://localhost"], ["http://localhost"]),
        (
            "http://xn--bcher-kva.example",
            ["http://xn--bcher-kva.example"],
            ["http://b\u00fccher.example"],
        ),
        (
            "http://kelvin.example",
            ["http://KELVIN.example"],
            ["http://\u212aelvin.example"],  # the Kelvin sign, which in lower case is a k
        ),
        (
            "https://*.site.example",
            [
                "https://www.site.example",
                "https://a.b.c.site.example",
                "https://WWW.site.example:443",
                "https://" + "a." * 100 + "site.example",
            ],
            [
                "https://site.example",
                "https://.site.example",
                "https://a..site.example",
                "https://evilsite.example",
                "https://www.site.example.evil.example",
                "https://www.site.example:8443",
                "http://www.site.example",
                "https://*.site.example",
                "https://www.example",
                "https://" + "a." * 200 + "site.example",
            ],
        ),
        (
            "http://*.localhost:8080",
            ["http://a.localhost:8080"],
            ["http://a.localhost", "http://localhost:8080"],
        ),
        ("null", ["null"], ["", "NULL", "https://null", "https://site.example"]),
        ("*", ["null", "", "https://site.example", "anything at all", "x" * 10_000], []),
    ],
)
def test_entries(entry: str, allowed: list[str], refused: list[str]) -> None:
    origins = Origins([entry])
    for _ in range(2):  # the second time from what is remembered
        assert [origin for origin in allowed if not origins.allows(origin)] == []
        assert [origin for origin in refused if origins.allows(origin)] == []


def test_any_of_several() -> None:
    origins = Origins(["https://a.example", " http://b.example ", "https://*.c.example", "null"])
    for origin in ("https://a.example", "http://b.example", "https://x.c.example", "null"):
        assert origins.allows(origin)
    for origin in ("http://a.example", "https://b.example", "https://c.example"):
        assert not origins.allows(origin)


@pytest.mark.parametrize("entries", [["*"], ["null"], ["https://site.example"]])
def test_who_sends_no_origin_is_let_in_unless_one_is_required(entries: list[str]) -> None:
    assert Origins(entries).allows(None)
    origins = Origins([*entries, "required"])
    assert not origins.allows(None)
    assert origins.allows("https://site.example") is (entries != ["null"])
    assert not origins.allows("required") or entries == ["*"]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("", "'' is no origin (it begins with no scheme); allowed are origins such as https://"),
        ("site.example", "'site.example' is no origin (it begins with no scheme)"),
        ("*.site.example", "begins with no scheme"),
        ("https://site.example/", "(an origin has no path, nor a slash at its end)"),
        ("https://site.example/page", "has no path"),
        ("https://b\u00fccher.example", "(browsers send such names as xn--...)"),
        ("https://", "'https://' is no origin; allowed"),
        ("https://*", "'https://*' is no origin; allowed"),
        ("https://*.", "is no origin"),
        ("https://*site.example", "is no origin"),
        ("https://www.*.example", "is no origin"),
        ("https://*.*.example", "is no origin"),
        ("https://*.[::1]", "is no origin"),
        ("https://[::g]", "is no origin"),
        ("https://[1.2.3.4]", "is no origin"),
        ("https://a..example", "is no origin"),
        ("https://user@site.example", "is no origin"),
        ("https://site.example:", "is no origin"),
        ("https://site.example:0", "is no origin"),
        ("https://site.example:65536", "is no origin"),
        ("https://" + "a" * 400, "is no origin"),
        ("wss://site.example:8443", "page they connect from, such as https://site.example:8443"),
        ("ws://*.site.example", "page they connect from, such as http://*.site.example"),
    ],
)
def test_what_is_no_entry(entry: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        Origins(["https://good.example", entry])
    assert complaint in str(caught.value)


def test_the_first_wrong_entry_is_told() -> None:
    with pytest.raises(ValueError, match="'first' is no origin"):
        Origins(["https://good.example", "first", "second"])


def test_lists_that_allow_nothing_or_too_much() -> None:
    for entries in ([], ["required"]):
        with pytest.raises(ValueError, match="no origin is listed; allowed are"):
            Origins(entries)
    for other in ("https://site.example", "null"):
        with pytest.raises(ValueError, match=f"'\\*' allows any origin, so '{other}' beside it"):
            Origins(["*", other])


# ------------------------------------------------------------------------------ against a model

LABEL = st.sampled_from(["a", "b", "site", "example"])
HOST = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
SCHEME = st.sampled_from(["http", "https"])
PORT = st.sampled_from([None, 80, 443, 8080])
DEFAULT = {"http": 80, "https": 443}


def written(scheme: str, host: str, port: int | None) -> str:
    return f"{scheme}://{host}" + ("" if port is None else f":{port}")


@fuzz
@given(
    st.lists(st.tuples(SCHEME, st.booleans(), HOST, PORT), min_size=1, max_size=4),
    st.lists(st.tuples(SCHEME, HOST, PORT), min_size=1, max_size=8),
)
def test_lists_agree_with_the_model(
    entries: list[tuple[str, bool, str, int | None]],
    asked: list[tuple[str, str, int | None]],
) -> None:
    origins = Origins(
        written(scheme, "*." * below + host, port) for scheme, below, host, port in entries
    )
    asked += [(scheme, "sub." * below + host, port) for scheme, below, host, port in entries]
    for scheme, host, port in asked:
        expected = any(
            scheme == s
            and (port or DEFAULT[scheme]) == (p or DEFAULT[s])
            and (host.endswith("." + h) if below else host == h)
            for s, below, h, p in entries
        )
        assert origins.allows(written(scheme, host, port)) is expected
        assert origins.allows(written(scheme.upper(), host.upper(), port)) is expected


@fuzz
@given(st.text() | st.text(alphabet=string.ascii_letters + ":/.*[]-_0123456789@ "))
def test_any_text_is_decided(origin: str) -> None:
    origins = Origins(["https://site.example", "https://*.site.example"])
    assert origins.allows(origin) is (origin.lower() == "https://site.example")
    assert Origins(["*"]).allows(origin)
