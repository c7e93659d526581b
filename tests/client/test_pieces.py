"""The small parts: queues, decoders, credentials, retries, rules for patterns."""

from __future__ import annotations

import pytest

from tests.client.rig import EVENT, EVENTS, STATE
from wsgate.client.credentials import Credentials, Way, expiry
from wsgate.client.interests import Interests
from wsgate.client.items import Gap, Update, Why
from wsgate.client.link import packed
from wsgate.client.mailbox import GAP_NAMES_MAX, Mailbox
from wsgate.client.transport import _seconds, _with_query
from wsgate.client.wire import (
    DECODERS,
    DeltaDecoder,
    JsonDecoder,
    Undecodable,
    decoder_of,
    subscribe,
)
from wsgate.protocol import Place, Subscribe, decode
from wsgate.rules import DEFAULT_RULES, Rule, Rules


def update(channel: str, seq: int) -> Update:
    return Update("x", channel, seq, seq - 1, seq)


def drained(mailbox: Mailbox) -> list[object]:
    return list(iter(mailbox.take, None))


def test_a_full_mailbox_has_a_gap_in_the_place_of_what_it_cannot_hold() -> None:
    mailbox = Mailbox(events_max=3)
    for seq in range(1, 7):
        mailbox.put_event(update(EVENT, seq))
    gap = Gap((EVENT,), Why.SLOW)
    assert len(mailbox) == 4
    assert mailbox.take() == update(EVENT, 1)
    assert mailbox.take() == update(EVENT, 2)
    mailbox.put_event(update(EVENT, 7))
    assert drained(mailbox) == [update(EVENT, 3), gap, update(EVENT, 7)]


def test_of_a_state_a_mailbox_has_the_latest() -> None:
    mailbox = Mailbox(events_max=1, states_max=2)
    for seq in range(100):
        mailbox.put_state(update(f"token.{seq % 2}.update", seq))
    assert drained(mailbox) == [update("token.0.update", 98), update("token.1.update", 99)]
    for number in range(100):
        mailbox.put_state(update(f"token.{number}.update", 1))
    gap = mailbox.take()
    assert isinstance(gap, Gap) and gap.channels == (">",), "of so many names it is everything"
    assert len(drained(mailbox)) == 2 < GAP_NAMES_MAX


def test_events_and_states_take_turns() -> None:
    mailbox = Mailbox()
    for seq in (1, 2, 3):
        mailbox.put_event(update(EVENT, seq))
        mailbox.put_state(update(f"token.{seq}.update", seq))
    kinds = [one.channel == EVENT for one in drained(mailbox)]  # type: ignore[attr-defined]
    assert kinds == [True, False] * 3


def test_the_decoder_of_what_was_selected() -> None:
    assert list(DECODERS) == ["wsgate.delta.v1", "wsgate.v1"], "the better one first"
    assert isinstance(decoder_of("wsgate.delta.v1"), DeltaDecoder)
    assert isinstance(decoder_of("wsgate.v1"), JsonDecoder)
    assert isinstance(decoder_of(None), JsonDecoder)
    text = '{"type":"token_update","channel":"token.a.update","seq":2,"prev":1,"data":{"p":1}}'
    assert JsonDecoder().decode(text) == Update("token_update", STATE, 2, 1, {"p": 1})
    with pytest.raises(Undecodable):
        JsonDecoder().decode('{"type":"x","channel":1,"seq":2,"prev":1,"data":0}')


def test_commands_are_what_the_gateway_reads() -> None:
    text = subscribe(1, (STATE,), 2.0, {STATE: ("e1", 3)})
    recover = {STATE: Place("e1", 3)}
    assert decode(text.encode()) == Subscribe((STATE,), 2.0, recover, 1)
    (portion,) = packed([STATE, EVENTS], {STATE: {STATE: ("e1", 3)}})
    assert portion == ((STATE, EVENTS), {STATE: ("e1", 3)})


def test_when_a_token_ends_is_read_from_it_if_it_says_so() -> None:
    assert expiry("h.eyJleHAiOjEyM30.s") == 123
    for other in ("opaque", "a.b.c", "h.eyJleHAiOiJ4In0.s", "h.W10.s", "..", "h.é.s"):
        assert expiry(other) is None
    assert "secret" not in repr(Credentials("secret", False, Way.QUERY))


def test_retry_after_is_seconds_or_a_date() -> None:
    assert _seconds("7") == 7
    assert _seconds(None) == _seconds("soon") == _seconds("-3") == 0
    assert _seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _seconds("Wed, 21 Oct 2150 07:28:00 GMT") > 1e9


def test_a_credential_in_the_url_is_quoted() -> None:
    assert _with_query("wss://h/p", "auth", "a b&c") == "wss://h/p?auth=a%20b%26c"
    assert _with_query("wss://h/?x=1", "ticket", "t") == "wss://h/?x=1&ticket=t"


def test_patterns_that_may_have_events() -> None:
    default = Interests(DEFAULT_RULES)
    names = [EVENTS, "global.>", "global.*", "token.*.update", "nobody.*", "global.trending"]
    assert [default._may_have_events(name) for name in names] == [
        *(True, True, True, False, True, False)
    ]
    mixed = Interests(Rules([Rule("a.x", "x", "event"), Rule("a.*", "y", "state")]))  # type: ignore[arg-type]
    assert mixed._may_have_events("a.*")
