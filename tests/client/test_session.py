"""What a client does when: connections, commands, tokens and time, without any of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.client.rig import EVENT, EVENTS, STATE, STATES, Rig, Subscriber
from wsgate.client.actions import Announce, AskToken, Dial, Hang, Say
from wsgate.client.credentials import Way
from wsgate.client.errors import (
    ClosedByGateway,
    HandshakeRefused,
    Left,
    NotSupported,
    Refused,
    TokenRefused,
)
from wsgate.client.items import Gap, Why
from wsgate.protocol import CloseCode


def token(expires_at: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires_at}).encode()).rstrip(b"=")
    return f"head.{claims.decode()}.signature"


def live(rig: Rig, *names: str) -> tuple[int, Subscriber]:
    """Connected, and subscribed."""
    connection = rig.connect()
    subscriber = rig.subscribe(*names)
    (command,) = rig.said(connection)
    rig.grant(connection, command)
    rig.actions()
    return connection, subscriber


# ---------------------------------------------------------------------------------- coming back


def test_it_dials_at_once_and_then_ever_later() -> None:
    rig = Rig()
    rig.session.failed(rig.dialled().connection, rig.now)
    for most in (1, 2, 4, 8, 16, 30, 30):
        assert rig.session.wake_at() == rig.now + most
        rig.wait(most - 0.25)
        assert not rig.actions()
        rig.wait(0.25)
        rig.session.failed(rig.dialled().connection, rig.now)


def test_only_a_connection_that_lived_begins_anew() -> None:
    rig = Rig()
    for lived_s, most in ((1.0, 1), (1.0, 2), (1.0, 4), (6.0, 1), (0.0, 2)):
        connection = rig.connect()
        rig.now += lived_s
        rig.close(connection)
        assert rig.session.wake_at() == rig.now + most
        rig.actions()
        rig.wait(most)


def test_retry_after_comes_before_the_draw() -> None:
    rig = Rig()
    rig.session.refused(rig.dialled().connection, 503, 20.0, rig.now)
    assert rig.session.wake_at() == rig.now + 20 + 1


@pytest.mark.parametrize("status", [200, 204, 302, 304, 408, 425, 429, 500, 502, 503])
def test_other_answers_pass(status: int) -> None:
    rig = Rig()
    rig.session.refused(rig.dialled().connection, status, 0.0, rig.now)
    assert not rig.actions() and rig.session.end is None
    assert rig.session.wake_at() == rig.now + 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 426])
def test_some_answers_are_final(status: int) -> None:
    rig = Rig()
    rig.session.refused(rig.dialled().connection, status, 0.0, rig.now)
    error = rig.ends().error
    assert isinstance(error, HandshakeRefused) and error.status == status
    assert rig.session.wake_at() is None
    with pytest.raises(HandshakeRefused):
        rig.subscribe(EVENT)


@pytest.mark.parametrize("code", [*CloseCode, 1006, 1005, 3000, 4000, 4499, 4500, 4999])
def test_the_close_code_says_whether_to_come_back(code: int) -> None:
    rig = Rig("a token")
    connection = rig.connect()
    rig.close(connection, code, "why")
    known = code in set(CloseCode)
    comes_back = CloseCode(code).reconnect if known else not code >= 4500  # type: ignore[call-arg]
    if code == CloseCode.TOKEN_EXPIRED:
        comes_back = False  # there is nobody to ask for another
    if comes_back:
        assert isinstance(rig.session.wake_at(), float) and rig.session.end is None
    else:
        error = rig.ends().error
        assert isinstance(error, ClosedByGateway) and (error.code, error.reason) == (code, "why")
        assert isinstance(error, TokenRefused) is (code in (4401, 4501, 4503))


def test_without_a_token_it_does_not_wait_for_one_to_be_asked_for_again() -> None:
    rig = Rig()
    rig.close(rig.connect(), CloseCode.AUTH_TIMEOUT)
    assert isinstance(rig.ends().error, TokenRefused)


# ------------------------------------------------------------------------------------- liveness


def test_a_silent_line_is_asked_and_then_given_up() -> None:
    rig = Rig()
    connection = rig.connect()
    rig.wait(24.0)
    rig.hear(connection, "feed", state="live")
    rig.wait(24.9)
    assert not rig.actions()
    rig.wait(0.1)
    (ping,) = rig.said()
    assert ping["type"] == "ping"
    rig.wait(9.9)
    rig.hear(connection, "pong", id=ping["id"])
    rig.wait(25.0)
    assert [one["type"] for one in rig.said()] == ["ping"]
    rig.wait(10.0)
    assert rig.actions() == [Hang(connection, 1006)]
    assert not rig.session.connected
    rig.come_back()


# ------------------------------------------------------------------------------------- commands


def test_all_that_is_wanted_is_asked_for_in_as_few_commands_as_fit() -> None:
    rig = Rig()
    rig.subscribe(EVENT, STATE)
    rig.subscribe(STATES, max_rate=2)
    rig.subscribe(STATE, EVENTS, max_rate=2)
    rig.session.opened(rig.dialled().connection, "wsgate.v1", rig.now)
    said = {one.get("max_rate"): one["channels"] for one in rig.said()}
    assert said == {None: [EVENT, STATE], 2: [STATES, EVENTS]}


def test_large_requests_are_cut_into_commands_and_many_commands_wait() -> None:
    rig = Rig()
    connection = rig.connect()
    rig.subscribe(*(f"token.{number:04}{'x' * 100}.update" for number in range(1000)))
    texts = [action.text for action in rig.session.actions if isinstance(action, Say)]
    assert 2 <= len(texts) == len(rig.said(connection))
    assert max(len(text) for text in texts) <= 65_536
    for number in range(200):
        rig.subscribe(f"token.{number}.comment")
    assert len(rig.said()) < 100
    wake_at = rig.session.wake_at()
    assert wake_at is not None and wake_at <= rig.now + 0.1
    rig.wait(0.1)
    (late,) = rig.said()
    assert len(late["channels"]) > 100, "what had to wait goes together"


def test_the_fastest_rate_that_somebody_wants_is_asked_for() -> None:
    rig = Rig()
    rig.connect()
    slow, fast = Subscriber(STATE, max_rate=1), Subscriber(STATE, max_rate=5)
    rates = []
    rig.session.subscribe(slow.interest, rig.now)
    rig.session.subscribe(fast.interest, rig.now)
    free = rig.subscribe(STATE)
    rig.session.unsubscribe(free.interest, rig.now)
    rig.session.unsubscribe(fast.interest, rig.now)
    rig.session.unsubscribe(slow.interest, rig.now)
    rates = [(one["type"], one.get("max_rate")) for one in rig.said()]
    assert rates == [("subscribe", rate) for rate in (1, 5, None, 5, 1)] + [("unsubscribe", None)]


def test_refusals_reach_those_who_asked() -> None:
    rig = Rig()
    connection = rig.connect()
    mixed, other = rig.subscribe(STATE, "nope"), rig.subscribe(STATE)
    first, *_ = rig.said()
    error = {"code": "unknown_channel", "message": "no"}
    channels = {STATE: {"epoch": "e1", "seq": 0}}
    rig.hear(connection, "subscribed", id=first["id"], channels=channels, errors={"nope": error})
    assert mixed.errors == {"nope": "unknown_channel"} and mixed.settled
    assert other.errors == {} and other.settled
    assert not rig.said()


def test_a_command_that_is_refused_whole_refuses_all_its_channels() -> None:
    rig = Rig()
    connection = rig.connect()
    subscriber = rig.subscribe(STATE, EVENT, max_rate=7)
    (command,) = rig.said()
    rig.hear(connection, "error", id=command["id"], code="too_many_rates", message="no")
    assert subscriber.errors == dict.fromkeys((STATE, EVENT), "too_many_rates")


def test_what_there_was_no_room_for_after_a_cut_is_asked_for_again() -> None:
    rig = Rig()
    connection, subscriber = live(rig, STATE)
    rig.close(connection)
    connection = rig.come_back()
    (command,) = rig.said()
    error = {"code": "too_many_channels", "message": "no"}
    rig.hear(connection, "subscribed", id=command["id"], channels={}, errors={STATE: error})
    assert not subscriber.errors
    wake_at = rig.session.wake_at()
    assert wake_at is not None
    rig.wait(wake_at - rig.now)
    assert [one["channels"] for one in rig.said()] == [[STATE]]


def test_a_second_subscriber_gets_the_state_that_the_first_has() -> None:
    rig = Rig()
    connection, first = live(rig, STATES)
    rig.publish(connection, STATE, 5)
    second = rig.subscribe(STATES)
    assert first.read() == second.read() == [(STATE, 5)]
    assert second.settled and not rig.said(), "the gateway need not be asked"


# ------------------------------------------------------------------------- positions and gaps


def test_nothing_comes_twice() -> None:
    rig = Rig()
    connection, subscriber = live(rig, EVENT, STATE)
    for channel in (EVENT, STATE):
        for seq in (1, 2, 2, 1, 3):
            rig.publish(connection, channel, seq)
    read = subscriber.read()
    assert [one for one in read if one[0] == EVENT] == [(EVENT, 1), (EVENT, 2), (EVENT, 3)]
    assert [one for one in read if one[0] == STATE] == [(STATE, 3)], "conflated"


def test_a_hole_among_events_is_told_and_merged_states_are_none() -> None:
    rig = Rig()
    connection, subscriber = live(rig, EVENT, STATE)
    rig.publish(connection, EVENT, 1)
    rig.publish(connection, EVENT, 4)
    rig.publish(connection, STATE, 4)
    assert rig.gaps == [Gap((EVENT,), Why.HOLE)]
    read = [one for one in subscriber.read() if one != (STATE, 4)]
    assert read == [(EVENT, 1), Gap((EVENT,), Why.HOLE), (EVENT, 4)]


def test_the_position_in_the_reply_is_where_events_begin() -> None:
    rig = Rig()
    connection = rig.connect()
    subscriber = rig.subscribe(EVENT)
    (command,) = rig.said()
    rig.grant(connection, command, token__a__comment={"epoch": "e1", "seq": 7})
    rig.publish(connection, EVENT, 9)
    assert subscriber.read() == [Gap((EVENT,), Why.HOLE), (EVENT, 9)]


def test_what_the_gateway_tells_of_is_told_once() -> None:
    rig = Rig()
    connection, subscriber = live(rig, EVENTS, STATE)
    rig.publish(connection, EVENT, 1)
    rig.hear(connection, "gap", channels=["token.*.comment"])
    rig.hear(connection, "gap", channels=["elsewhere.>"])
    rig.publish(connection, EVENT, 5)
    rig.publish(connection, EVENT, 7)
    told, hole = Gap((EVENTS,), Why.TOLD), Gap((EVENT,), Why.HOLE)
    assert rig.gaps == [told, hole]
    assert subscriber.read() == [(EVENT, 1), told, (EVENT, 5), hole, (EVENT, 7)]


def recovering(rig: Rig, *names: str) -> tuple[int, Subscriber, dict[str, Any]]:
    """Has received 3 of each channel, was cut off, and asks for the rest."""
    connection, subscriber = live(rig, *names)
    rig.publish(connection, EVENT, 3, 0)
    rig.publish(connection, STATE, 3, 0)
    subscriber.read()
    rig.close(connection)
    connection = rig.come_back()
    (command,) = rig.said()
    return connection, subscriber, command


def test_after_a_cut_it_asks_for_what_it_missed() -> None:
    rig = Rig()
    connection, subscriber, command = recovering(rig, EVENT, STATE)
    assert command["recover"] == {
        EVENT: {"epoch": "e1", "seq": 3},
        STATE: {"epoch": "e1", "seq": 3},
    }
    entry = {"epoch": "e1", "seq": 5, "recovered": True}
    rig.grant(connection, command, token__a__comment=entry, token__a__update=entry)
    rig.publish(connection, EVENT, 4)
    rig.publish(connection, EVENT, 5)
    rig.publish(connection, STATE, 5)
    assert not rig.gaps
    assert sorted(subscriber.read()) == [(EVENT, 4), (EVENT, 5), (STATE, 5)]


def test_a_channel_of_a_pattern_is_recovered_in_the_epoch_of_the_others() -> None:
    rig = Rig()
    connection, subscriber, command = recovering(rig, EVENTS, STATE)
    assert command["recover"][EVENT] == {"epoch": "e1", "seq": 3}
    entry = {"epoch": "e1", "seq": 4, "recovered": True}
    rig.grant(connection, command, token__a__comment=entry, token__a__update=entry)
    rig.publish(connection, EVENT, 4)
    unseen = Gap((EVENTS,), Why.UNSEEN)
    assert rig.gaps == [unseen]
    assert subscriber.read() == [unseen, (EVENT, 4)]


def test_a_channel_of_a_pattern_that_there_is_no_room_for_is_told_as_missing() -> None:
    rig = Rig()
    connection, subscriber, command = recovering(rig, EVENTS, STATE)
    assert EVENT in command["recover"]
    error = {"code": "too_many_channels", "message": "no"}
    channels = {EVENTS: {}, STATE: {"epoch": "e1", "seq": 3, "recovered": True}}
    rig.hear(connection, "subscribed", id=command["id"], channels=channels, errors={EVENT: error})
    assert rig.gaps == [Gap((EVENTS,), Why.UNRECOVERED)]
    assert not subscriber.errors, "the pattern itself was not refused"
    rig.publish(connection, EVENT, 9)
    assert subscriber.read()[-1] == (EVENT, 9)


def test_what_cannot_be_recovered_is_told_and_a_state_is_asked_for() -> None:
    rig = Rig()
    connection, subscriber, command = recovering(rig, EVENT, STATE)
    entry = {"epoch": "e2", "seq": 9, "recovered": False}
    rig.grant(connection, command, token__a__comment=entry, token__a__update=entry)
    actions = rig.actions()
    assert actions[0] == Announce(Gap((EVENT,), Why.UNRECOVERED))
    (again,) = [json.loads(one.text) for one in actions if isinstance(one, Say)]
    assert again["channels"] == [STATE] and "recover" not in again
    rig.publish(connection, STATE, 9)
    rig.publish(connection, STATE, 9)
    rig.publish(connection, EVENT, 10)
    assert subscriber.read() == [Gap((EVENT,), Why.UNRECOVERED), (STATE, 9), (EVENT, 10)]


@pytest.mark.parametrize(("epoch", "seq", "missing"), [("e1", 3, 0), ("e1", 4, 1), ("e2", 3, 1)])
def test_a_gateway_that_cannot_recover_is_asked_without(epoch: str, seq: int, missing: int) -> None:
    rig = Rig()
    connection, subscriber, command = recovering(rig, EVENT, STATE)
    rig.hear(connection, "error", id=command["id"], code="not_supported", message="no")
    (plain,) = rig.said()
    assert "recover" not in plain and plain["channels"] == command["channels"]
    rig.grant(connection, plain, token__a__comment={"epoch": epoch, "seq": seq})
    assert rig.gaps == [Gap((EVENT,), Why.UNRECOVERED)] * missing
    rig.publish(connection, EVENT, seq + 1)
    assert subscriber.read() == [Gap((EVENT,), Why.UNRECOVERED)] * missing + [(EVENT, seq + 1)]


def test_of_too_many_positions_events_come_first_and_a_command_is_not_too_large() -> None:
    rig = Rig(channels_max=3000)
    connection, _ = live(rig, EVENTS, STATES, "global.news")
    for number in range(900):
        rig.publish(connection, f"token.{number}{'x' * 80}.update", 1)
        rig.publish(connection, f"token.{number}{'x' * 80}.comment", 1)
    rig.close(connection)
    rig.come_back()
    texts = [one.text for one in rig.session.actions if isinstance(one, Say)]
    assert max(map(len, texts)) <= 65_536
    recover = {name for text in texts for name in json.loads(text).get("recover", {})}
    assert any(name.endswith("comment") for name in recover)
    assert len(recover) < 1800


# ------------------------------------------------------------------------------------- handover


def moving(rig: Rig, *names: str) -> tuple[int, int, Subscriber]:
    """Told to reconnect, and with both connections there."""
    old, subscriber = live(rig, *names)
    rig.publish(old, EVENT, 1)
    subscriber.read()
    rig.hear(old, "reconnect", after_ms=4200)
    rig.wait(4.1)
    assert not rig.actions()
    rig.wait(0.2)
    return old, rig.connect(), subscriber


def test_it_leaves_the_old_connection_when_the_new_one_has_all() -> None:
    rig = Rig()
    old, new, subscriber = moving(rig, EVENT)
    (command,) = rig.said(new)
    rig.grant(new, command, token__a__comment={"epoch": "e1", "seq": 2})
    rig.publish(new, EVENT, 3)  # 2 is still to come from the old one
    assert subscriber.read() == []
    rig.publish(old, EVENT, 2)
    assert subscriber.read() == [(EVENT, 2), (EVENT, 3)]
    assert Hang(old, 1000) in rig.actions()
    rig.publish(old, EVENT, 4)
    rig.publish(new, EVENT, 4)
    assert subscriber.read() == [(EVENT, 4)]
    assert not rig.gaps


def told_to_leave(rig: Rig, connection: int) -> float:
    """Told so at once, and more than once: how long it stays nevertheless, at most."""
    for _ in range(2):
        rig.hear(connection, "reconnect", after_ms=0)
        rig.wait(0.0)
    if rig.session.actions:
        return 0.0
    wake_at = rig.session.wake_at()
    assert wake_at is not None
    stays_s = wake_at - rig.now
    rig.wait(stays_s)
    return stays_s


def test_handovers_in_a_row_come_ever_later() -> None:
    rig = Rig()
    old = rig.connect()
    for lived_s, most in ((0.0, 0), (0.0, 2), (4.9, 4), (0.0, 8), (5.0, 0), (1.0, 2), (60.0, 0)):
        rig.now += lived_s
        rig.hear(old, "feed", state="live")
        assert told_to_leave(rig, old) == most
        new = rig.connect()
        rig.hear(new, "feed", state="live")
        assert rig.actions() == [Hang(old, 1000)]
        old = new


def test_a_new_connection_that_fails_leaves_the_old_one_alone() -> None:
    rig = Rig()
    old, new, subscriber = moving(rig, EVENT)
    rig.close(new)
    rig.publish(old, EVENT, 2)
    assert subscriber.read() == [(EVENT, 2)] and rig.session.connected
    assert rig.come_back() > new


def test_an_old_connection_that_does_not_end_is_left_with_a_gap() -> None:
    rig = Rig()
    old, new, subscriber = moving(rig, EVENTS)
    (command,) = rig.said(new)
    rig.grant(new, command)
    rig.actions()
    rig.wait(5.0)
    hang, fence = rig.actions()
    assert hang == Hang(old, 1000)
    for _ in range(2):
        assert isinstance(fence, Say) and fence.connection == new
        rig.hear(new, "pong", id=json.loads(fence.text)["id"])
        fence = rig.actions()[0]
    assert subscriber.read() == [Gap((EVENTS,), Why.UNRECOVERED)]


@pytest.mark.parametrize("outlived", [True, False])
def test_an_old_connection_has_to_outlive_the_new_subscription(outlived: bool) -> None:
    """Its CLOSE may have been under way when the new one was granted."""
    rig = Rig()
    old, new, subscriber = moving(rig, EVENTS)
    (command,) = rig.said(new)
    rig.grant(new, command)
    (ping,) = rig.said(old)
    if outlived:
        rig.hear(old, "pong", id=ping["id"])
    rig.close(old, CloseCode.SERVICE_RESTART)
    for _ in range(2):
        (fence,) = rig.said(new)
        rig.hear(new, "pong", id=fence["id"])
    rig.publish(new, EVENT, 9)
    missing = [] if outlived else [Gap((EVENTS,), Why.UNRECOVERED)]
    assert subscriber.read() == [*missing, (EVENT, 9)]


# --------------------------------------------------------------------------- tokens and the rest


def test_the_token_is_shown_as_asked() -> None:
    for way in Way:
        rig = Rig("t", way=way)
        dial = rig.dialled()
        assert dial == Dial(dial.connection, "t", way)
        rig.session.opened(dial.connection, None, rig.now)
        said = [(one["type"], one["token"]) for one in rig.said()]
        assert said == ([("auth", "t")] if way is Way.MESSAGE else [])


def test_a_token_is_renewed_in_time_and_the_connection_goes_on() -> None:
    rig = Rig(renewable=True)
    assert rig.actions() == [AskToken()]
    rig.session.token_given(token(5000 + 600), rig.now, 5000.0)
    connection = rig.connect()
    rig.session.tick(rig.now)
    assert rig.session._renew_at == rig.now + 600 - 60
    rig.hear(connection, "feed", state="live")
    rig.now += 539
    rig.hear(connection, "feed", state="live")
    rig.wait(1.0)
    assert rig.actions() == [AskToken()]
    following = token(5540 + 600)
    rig.session.token_given(following, rig.now, 5540.0)
    (auth,) = rig.said(connection)
    assert (auth["type"], auth["token"]) == ("auth", following)
    rig.hear(connection, "authorized", id=auth["id"], expires=5540 + 100)
    assert rig.session._renew_at == rig.now + 100 - 20, "what the gateway says counts"


def test_after_4401_another_token_is_asked_for() -> None:
    rig = Rig(renewable=True)
    rig.actions()
    rig.session.token_given("old", rig.now, 0.0)
    rig.close(rig.connect(), CloseCode.TOKEN_EXPIRED)
    rig.wait(30.0)
    assert rig.actions() == [AskToken()]
    rig.session.token_missing(rig.now)
    assert not rig.actions()
    rig.wait(30.0)
    assert rig.actions() == [AskToken()]
    rig.session.token_given("new", rig.now, 0.0)
    assert rig.dialled().token == "new"


def test_a_cut_alone_is_no_reason_for_another_token_and_a_ticket_is_good_once() -> None:
    for way, asks in ((Way.SUBPROTOCOL, False), (Way.TICKET, True)):
        rig = Rig(renewable=True, way=way)
        rig.actions()
        rig.session.token_given("t", rig.now, 0.0)
        rig.close(rig.connect())
        rig.wait(30.0)
        assert (rig.actions() == [AskToken()]) is asks


def test_who_is_permitted_less_is_told() -> None:
    rig = Rig("t")
    connection, subscriber = live(rig, EVENTS, STATE)
    rig.hear(connection, "unsubscribed", channels=[EVENTS])
    assert subscriber.errors == {EVENTS: "not_permitted"}
    assert not rig.said()


def test_pause_is_told_to_every_connection() -> None:
    rig = Rig()
    connection, _ = live(rig, STATE)
    done: list[Refused | None] = []
    rig.session.pause(True, done.append, rig.now)
    (pause,) = rig.said()
    assert pause["type"] == "pause" and not done
    rig.hear(connection, "paused", id=pause["id"])
    assert done == [None]
    rig.close(connection)
    connection = rig.come_back()
    assert [one["type"] for one in rig.said()] == ["pause", "subscribe"]
    rig.session.pause(False, done.append, rig.now)
    (resume,) = rig.said()
    rig.hear(connection, "error", id=resume["id"], code="not_supported", message="no")
    assert isinstance(done[-1], NotSupported) and not rig.session.paused


def test_the_feed_is_that_of_the_connection_that_counts() -> None:
    rig = Rig()
    connection = rig.connect()
    rig.hear(connection, "feed", state="stale")
    assert rig.session.feed == "stale" and rig.actions() == [Announce("stale")]
    rig.close(connection)
    rig.come_back()
    assert rig.session.feed == "live"


@pytest.mark.parametrize(
    "message",
    ['{"type":', "[]", '{"type":"x","data":1}', '{"type":"reconnect"}', '{"type":"subscribed",'
     '"id":1,"channels":7}', b"\x00\xff"],
)  # fmt: skip
def test_what_is_not_the_protocol_ends_the_connection(message: str | bytes) -> None:
    rig = Rig()
    connection = rig.connect()
    rig.subscribe(STATE)
    rig.actions()
    rig.session.received(connection, message, rig.now)
    assert rig.actions()[0] == Hang(connection, 1002)
    assert rig.session.end is None and not rig.session.connected


def test_what_is_newer_than_the_client_is_ignored() -> None:
    rig = Rig()
    connection, subscriber = live(rig, STATE)
    rig.hear(connection, "from_the_future", x=1)
    rig.hear(connection, "x", channel=STATE, seq=1, prev=0, data=1, more=2)
    assert subscriber.read() == [(STATE, 1)]


def test_to_leave_closes_what_is_open() -> None:
    rig = Rig()
    connection, _ = live(rig, STATE)
    rig.session.leave()
    hang, finish = rig.actions()
    assert hang == Hang(connection, 1000)
    assert isinstance(rig.session.end, Left) and finish is not None
    rig.wait(100.0)
    assert not rig.actions()
