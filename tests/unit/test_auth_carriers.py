"""Credentials are found where they may be, and show nowhere."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate.auth.carriers import BadCredentials, Credential, CredentialKind, find, safe_path

fuzz = settings(deadline=None, max_examples=500)

TOKEN, TICKET = CredentialKind.TOKEN, CredentialKind.TICKET
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyLTEifQ.c2lnbmF0dXJlLXdpdGgtYS1mZXctYnl0ZXM"


@pytest.mark.parametrize(
    ("path", "offer", "found"),
    [
        (b"/", None, None),
        (b"/ws", "wsgate.v1", None),
        (b"/ws?", None, None),
        (b"/ws?v=1&other=auth", "wsgate.v1, other", None),
        (b"/ws?auth=abc.def.ghi", None, (TOKEN, "abc.def.ghi")),
        (b"/ws?v=1&auth=abc&w=2", "wsgate.v1", (TOKEN, "abc")),
        (b"/ws?%61uth=a%2Eb", None, (TOKEN, "a.b")),
        (b"/ws?auth=a+b", None, (TOKEN, "a b")),
        (b"/ws?auth=a=b==", None, (TOKEN, "a=b==")),
        (b"/ws?auth=a?b", None, (TOKEN, "a?b")),
        (b"/ws?ticket=t-_1", None, (TICKET, "t-_1")),
        # What can be no credential is refused as one, where the client can be told.
        (b"/ws?auth=", None, (TOKEN, "")),
        (b"/ws?auth", None, (TOKEN, "")),
        (b"/ws?auth=%ff", None, (TOKEN, "\ufffd")),
        (b"/ws?auth=%zz", None, (TOKEN, "%zz")),
        (b"/ws?AUTH=abc", None, None),
        (b"/ws", "wsgate.v1, wsgate.auth.a.b.c", (TOKEN, "a.b.c")),
        (b"/ws", "wsgate.auth.a.b.c,wsgate.v1", (TOKEN, "a.b.c")),
        (b"/ws", "other,wsgate.auth.x ,\twsgate.v1", (TOKEN, "x")),
        (b"/ws", "wsgate.v1, wsgate.auth.", (TOKEN, "")),
        (b"/ws", "wsgate.v1, not.wsgate.auth.x", None),
    ],
)
def test_find(path: bytes, offer: str | None, found: tuple[CredentialKind, str] | None) -> None:
    assert find(path, offer) == found


@pytest.mark.parametrize(
    ("path", "offer"),
    [
        (b"/?auth=a&auth=b", None),
        (b"/?auth=a&auth=a", None),
        (b"/?auth=a&%61uth=a", None),
        (b"/?auth=a&ticket=b", None),
        (b"/?ticket=a&ticket=b", None),
        (b"/?auth=a&auth=", None),
        (b"/?auth=a", "wsgate.v1, wsgate.auth.b"),
        (b"/", "wsgate.v1, wsgate.auth.a, wsgate.auth.b"),
    ],
)
def test_more_than_one_credential_is_refused(path: bytes, offer: str | None) -> None:
    with pytest.raises(BadCredentials, match="2 credentials; give one"):
        find(path, offer)


@pytest.mark.parametrize(
    "offer", ["wsgate.auth.a", "other, wsgate.auth.a", "wsgate.auth.wsgate.v1"]
)
def test_a_token_without_a_subprotocol_to_select_is_refused(offer: str) -> None:
    with pytest.raises(BadCredentials, match=r"needs wsgate\.v1 beside it"):
        find(b"/", offer)


def test_the_subprotocol_beside_a_token_is_one_that_is_spoken() -> None:
    offer = "wsgate.delta.v1, wsgate.auth.a"
    assert find(b"/", offer) == (CredentialKind.TOKEN, "a")
    with pytest.raises(BadCredentials, match=r"needs wsgate\.v1 beside it"):
        find(b"/", offer, ["wsgate.v1"])


@fuzz
@given(st.binary(max_size=200), st.none() | st.text(max_size=100))
def test_a_credential_none_or_the_documented_exception(path: bytes, offer: str | None) -> None:
    try:
        found = find(path, offer)
    except BadCredentials:
        return
    assert found is None or (isinstance(found, Credential) and isinstance(found.text, str))


PIECES = st.lists(
    st.sampled_from(
        ["auth", "ticket", "=", "&", "?", "%61", "a", "+", "%", "wsgate.auth.", "wsgate.v1", ","]
    ),
    max_size=12,
).map("".join)


@fuzz
@given(PIECES, PIECES)
def test_the_same_where_every_piece_means_something(query: str, offer: str) -> None:
    try:
        found = find(b"/?" + query.encode(), offer)
    except BadCredentials as error:
        assert "%" not in str(error)
        return
    if found is not None and found.kind is TICKET:
        assert "ticket" in query


@fuzz
@given(st.text(max_size=60))
def test_whatever_is_put_into_a_url_comes_out(text: str) -> None:
    ascii_only = text.encode().decode("ascii", "replace")
    path = f"/ws?a=1&auth={quote(text, safe='')}".encode()
    assert find(path) == (TOKEN, ascii_only)


# For the log


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/", "/"),
        (b"/ws/v1", "/ws/v1"),
        (b"/ws?", "/ws?"),
        (b"/ws?auth=abc", "/ws?auth=***"),
        (b"/ws?v=1&auth=abc&w=2", "/ws?auth=***&***"),
        (b"/ws?%61uth=abc", "/ws?auth=***"),
        (b"/ws?ticket=abc&auth=x&auth=y", "/ws?auth=***&ticket=***"),
        (b"/ws?abc", "/ws?***"),
        (b"/ws?token=abc&jwt=abc", "/ws?***"),
        (b"/ws/" + JWT.encode(), "/ws/***"),
        (b"/ws\r\nINFO: all is well", "/ws..INFO:.all.is.well"),
        (b"/\x1b[31m\xff", "/.[31m."),
        (b"/a" * 20, "/a/a/a/a/a/a/a/***"),
    ],
)
def test_safe_path(path: bytes, shown: str) -> None:
    assert safe_path(path) == shown


SECRET = "c0ffee-C0FFEE_" * 3  # 42 characters, as tickets have 43


@fuzz
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_secret_is_masked_wherever_it_stands(before: bytes, after: bytes) -> None:
    shown = safe_path(before + SECRET.encode() + after)
    assert SECRET not in shown and SECRET[:20] not in shown
    assert shown.isascii() and (shown.isprintable() or not shown) and " " not in shown
    assert len(shown) < 400


@fuzz
@given(st.text(min_size=4, max_size=10, alphabet="XYZ"))
def test_even_a_short_one_is_masked_in_the_query(secret: str) -> None:
    for query in (f"auth={secret}", f"ticket={secret}", f"x={secret}", secret, f"{secret}=1"):
        assert secret not in safe_path(f"/ws?{query}".encode())


def test_a_credential_does_not_show_itself() -> None:
    credential = find(b"/?auth=" + JWT.encode())
    assert credential is not None and credential.text == JWT
    for shown in (repr(credential), str(credential), f"{credential}", repr([credential])):
        assert "eyJ" not in shown
    assert repr(credential) == f"Credential(auth, <{len(JWT)} characters>)"
