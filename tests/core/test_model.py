"""The whole core against the model of it: random operations, every byte compared.

After each step the core checks its own invariants, and everything that can be seen of it is what
the model says: what each connection received, what it is still owed, every total.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, Literal, get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.core import model as plain
from tests.core import rfc6455
from tests.core.model import Connection, Model
from tests.core.rig import ALL, RULES, Rig, gap_message, rule_of, slot_of
from tests.core.wire import Carry
from wsgate.core.frame import Frame
from wsgate.core.roster import ALIVE_TIMER, TooManyChannels, TooManyRates

EXAMPLES = int(os.environ.get("WSGATE_MODEL_EXAMPLES", "100"))

CHANNELS = ["state.a.x", "state.b.x", "state.c", "event.a.x", "event.c", "strict.a.x"]
PATTERNS = ["state.>", "state.*.x", "event.*.x", "*.a.x", ">"]

LIMITS = {
    "channels_max": 5,
    "events_bytes_max": 400,
    "events_count_max": 4,
    "control_bytes_max": 120,
}

PLACES = 4  # of the connections that operations choose from

places = st.integers(0, PLACES - 1)
names = st.sampled_from(CHANNELS + PATTERNS)
# More different rates than a connection may use, and a few often, so that clocks are shared.
intervals = st.one_of(
    st.just(0), st.sampled_from([40, 200]), st.integers(10, 20).map(lambda tens: tens * 10)
)
publications = st.lists(
    st.tuples(st.sampled_from(CHANNELS), st.sampled_from([0, 0, 0, 150, 500])),
    min_size=1,
    max_size=6,
)
visits = st.one_of(st.integers(1, 3), st.just(ALL))

Word = Literal["text", "pong", "ping", "feed", "gap"]
End = Literal["release", "close now", "close after all", "cut off"]
# What the socket does at the next flush: whose, how many bytes it takes, what the transport does.
chokes = st.lists(
    st.tuples(
        places,
        st.one_of(st.integers(0, 20), st.integers(0, 400)),
        st.sampled_from(["holds", "holds", "holds", "passes", "breaks"]),
    ),
    max_size=2,
)


class CoreAgainstModel(RuleBasedStateMachine):
    @initialize(
        bystanders=st.sampled_from([0, 0, 0, 62]),
        subscriptions=st.lists(st.tuples(places, names, intervals), min_size=6, max_size=16),
    )
    def begin(self, bystanders: int, subscriptions: list[tuple[int, str, int]]) -> None:
        self.rig = Rig(**LIMITS)
        self.core, self.delivery, self.wire = self.rig.core, self.rig.delivery, self.rig.wire
        self.model = Model(LIMITS, self.core.find_channel)
        self.now_ms = 0
        self.published = 0
        self.round: list[int] | None = None  # slots written to in the round that is unfinished
        self.rounds = 0
        self.urgent_at = 0
        self.owing_since: dict[int, int] = {}  # handle -> the round during which it began to owe
        for _ in range(bystanders):  # so that slots reach into a second word of a bitmap
            self._open()
        self.handles = [self._open() for _ in range(PLACES)]
        for subscription in subscriptions:
            self.subscribe(*subscription)

    # connections

    def _open(self) -> int:
        handle = self.core.open()
        assert handle not in self.model.connections
        self.wire.renew(slot_of(handle))
        self.model.open(handle)
        return handle

    def _lives(self, handle: int) -> bool:
        return handle in self.model.connections

    @rule(place=places, subscriptions=st.lists(st.tuples(names, intervals), min_size=1, max_size=4))
    def open(self, place: int, subscriptions: list[tuple[str, int]]) -> None:
        """Somebody else takes the place of a connection that is no use any more."""
        handle = self.handles[place]
        if self._lives(handle):
            if not self.model.connections[handle].deaf:
                return
            self.end(place, "release")
        self.handles[place] = self._open()
        self._use_what_is_gone(handle)
        for subscription in subscriptions:
            self.subscribe(place, *subscription)

    @rule(place=places, how=st.sampled_from(get_args(End)))
    def end(self, place: int, how: End) -> None:
        handle = self.handles[place]
        if how == "release":
            assert self.core.release(handle) == self._lives(handle)
            if self._lives(handle):
                self.model.release(handle)
            self.model.note_uses()
        elif how == "cut off":
            if self._lives(handle):
                self.wire.cut_off(slot_of(handle))
                self.model.cut_off(handle)
        else:
            self._close(handle, flush_owed=how == "close after all")

    def _close(self, handle: int, flush_owed: bool) -> None:
        self.delivery.end(handle, Frame.close(1000, "bye"), flush_owed)
        if self._lives(handle):
            self.model.end(handle, b"\x03\xe8bye", flush_owed)

    def _use_what_is_gone(self, handle: int) -> None:
        """A handle that outlives its connection does nothing."""
        self.delivery.reply(handle, Frame.text(b"never"))
        self.delivery.end(handle, Frame.close(1000), True)
        self.delivery.block(handle)
        self.delivery.resume(handle)
        self.delivery.hurry(handle)
        self.delivery.pardon(handle)
        self.core.schedule(handle, ALIVE_TIMER, self.now_ms)
        assert not self.core.release(handle)
        assert self.delivery.owed(handle) is None
        assert not self.delivery.is_blocked(handle)
        assert self.core.subscription_count(handle) == 0
        assert not self.core.is_subscribed(handle, ">")

    @rule(pardon=st.booleans())
    def take_doomed(self, pardon: bool) -> None:
        doomed = self.delivery.take_doomed()
        assert sorted(doomed) == sorted(self.model.take_doomed())
        for handle, reason in doomed:
            if pardon and reason == "slow_consumer" and self._lives(handle):
                self.delivery.pardon(handle)
                self.model.pardon(handle)
                self._close(handle, flush_owed=False)

    # subscriptions

    @rule(place=places, name=names, interval_ms=intervals)
    def subscribe(self, place: int, name: str, interval_ms: int) -> None:
        handle = self.handles[place]
        if not self._lives(handle):
            return
        answer = self._both(
            lambda: self.rig.subscribe(handle, name, interval_ms),
            lambda: (
                self.model.subscribe_pattern(handle, name, interval_ms)
                if plain.is_pattern(name)
                else self.model.subscribe(handle, name, interval_ms)
            ),
        )
        if answer not in (TooManyChannels, TooManyRates):
            assert self.core.is_subscribed(handle, name)

    @rule(place=places, name=names, choice=st.integers(0, 11))
    def unsubscribe(self, place: int, name: str, choice: int) -> None:
        """From one of its own subscriptions, or from `name`, which may be none of them."""
        handle = self.handles[place]
        if self._lives(handle):
            candidates = [*self.model.connections[handle].subscriptions, name]
            name = candidates[choice % len(candidates)]
            known = self.model.unsubscribe(handle, name)
            assert self.core.unsubscribe(handle, name) == known
            assert not self.core.is_subscribed(handle, name)

    # publications

    @rule(publications=publications)
    def publish(self, publications: list[tuple[str, int]]) -> None:
        for name, padding in publications:
            self.published += 1
            self._publish(name, json.dumps(f"{self.published:0{padding}}").encode())

    @rule(publications=publications, visits=visits, passed_ms=st.integers(0, 50), chokes=chokes)
    def publish_and_flush(
        self,
        publications: list[tuple[str, int]],
        visits: int,
        passed_ms: int,
        chokes: list[tuple[int, int, Carry]],
    ) -> None:
        self.publish(publications)
        self.flush(visits, passed_ms, chokes)

    def _publish(self, name: str, payload: bytes) -> None:
        def plainly() -> bool:
            self.model.open_channel(name)
            return self.model.publish(name, payload)

        self._both(lambda: self.rig.publish(name, payload), plainly)

    def _both(self, operate: Callable[[], Any], plainly: Callable[[], Any]) -> Any:
        """Do the same with the core and the model: the answer, or the error, is the same."""
        answer: Any
        expected: Any
        try:
            answer = operate()
        except (TooManyChannels, TooManyRates) as error:
            answer = type(error)
        for name in list(self.model.channels):
            if self.core.find_channel(name) is None:
                self.model.forget(name)
        try:
            expected = plainly()
        except plain.TooManyChannels:
            expected = TooManyChannels
        except plain.TooManyRates:
            expected = TooManyRates
        assert answer == expected
        self.model.note_uses()
        return answer

    # replies and announcements

    @rule(place=places, word=st.sampled_from(get_args(Word)), size=st.integers(0, 60))
    def say(self, place: int, word: Word, size: int) -> None:
        handle, payload = self.handles[place], bytes(size)
        if word == "feed":
            self.delivery.tell_all(Frame.feed(payload))
            self.model.tell_all(payload)
            return
        if word == "gap":
            mask = 1 + size % 7
            self.delivery.announce_gap(Frame.text(gap_message(mask)), mask)
            self.model.announce_gap(gap_message(mask), mask)
            return
        if word == "ping":
            payload, frame = b"", Frame.ping()
        else:
            frame = Frame.pong(payload) if word == "pong" else Frame.text(payload)
        self.delivery.reply(handle, frame)
        if self._lives(handle):
            self.model.reply(handle, word, payload)

    # sockets

    def _choke(self, place: int, size: int, carry: Carry) -> None:
        handle = self.handles[place]
        if self._lives(handle) and not self.model.connections[handle].blocked:
            self.wire.accept(slot_of(handle), size, carry)
            self.model.accept(handle, size, carry)

    @rule(place=places)
    def block(self, place: int) -> None:
        """The transport pauses by itself: it does so if the 101 did not go out whole."""
        self.delivery.block(self.handles[place])
        if self._lives(self.handles[place]):
            self.model.block(self.handles[place])

    @rule(place=places)
    def resume(self, place: int) -> None:
        if self._lives(self.handles[place]):
            self._resume(self.handles[place])

    def _resume(self, handle: int) -> None:
        self.rig.resume(handle)
        self.model.resume(handle)

    # flushes

    @rule(place=places, paused=st.booleans())
    def pause(self, place: int, paused: bool) -> None:
        handle = self.handles[place]
        if not self._lives(handle):
            return
        if paused:
            self.delivery.pause(handle)
            self.model.pause(handle)
        else:
            self.delivery.unpause(handle)
            self.model.unpause(handle)

    @rule(visits=visits, passed_ms=st.integers(0, 50), chokes=chokes)
    def flush(self, visits: int, passed_ms: int, chokes: list[tuple[int, int, Carry]]) -> None:
        for choke in chokes:
            self._choke(*choke)
        self._slice(visits, passed_ms)

    def _flush_all(self) -> None:
        for _ in range(20):
            if not self.core.owes_publications:
                return
            self._slice(ALL, 0)
        raise AssertionError("a flush comes to no end")

    def _slice(self, visits: int, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self.wire.sends.clear()
        unfinished = self.core.flush(self.now_ms, visits)
        self.model.begin_slice(self.now_ms, visits)
        visited = list(dict.fromkeys(slot for slot, _ in self.wire.sends))
        assert len(visited) <= visits
        self._go_on_with_the_round(visited, unfinished)

    def _go_on_with_the_round(self, visited: list[int], unfinished: bool) -> None:
        """In a round each slot has one turn, in slot order, and none is forgotten.

        A round may begin unseen, with a visit to who is owed nothing any more.
        """
        if self.round is None:
            self.round = []
            self._note_who_owes()
            self.rounds += 1
        self._note_who_owes()
        for slot in visited:
            self.model.visit(self._in_slot(slot).handle)
        self.round += visited
        steps = list(zip(self.round, self.round[1:], strict=False))
        assert sum(after <= before for before, after in steps) <= 1
        if any(after <= before for before, after in steps):
            assert self.round[-1] < self.round[0]
        if not unfinished:
            self.round = None
            for connection in self.model.connections.values():
                if connection.writable:
                    began = self.owing_since[connection.handle]
                    assert began == self.rounds, "owed before the round, and not visited in it"

    def _in_slot(self, slot: int) -> Connection:
        (found,) = (c for c in self.model.connections.values() if slot_of(c.handle) == slot)
        return found

    def _note_who_owes(self) -> None:
        writable = {c.handle for c in self.model.connections.values() if c.writable}
        known = self.owing_since
        self.owing_since = {handle: known.get(handle, self.rounds) for handle in writable}

    @rule(visits=visits)
    def flush_urgent(self, visits: int) -> None:
        self.wire.sends.clear()
        unfinished = self.delivery.flush_urgent(visits)
        urgent = sorted(
            (slot_of(c.handle) for c in self.model.connections.values() if c.urgent),
            key=lambda slot: (slot < self.urgent_at, slot),  # it goes on where it stopped
        )
        visited = list(dict.fromkeys(slot for slot, _ in self.wire.sends))
        assert visited == urgent[:visits]
        for slot in visited:
            self.model.visit(self._in_slot(slot).handle)
            self.urgent_at = slot + 1
        assert unfinished == (len(urgent) > visits)

    # time

    @rule(
        passed_ms=st.one_of(st.integers(0, 100), st.just(100_000)),
        timers=st.lists(st.tuples(places, st.integers(0, 40_000)), max_size=2),
    )
    def tick(self, passed_ms: int, timers: list[tuple[int, int]]) -> None:
        for place, wait_ms in timers:
            self._schedule(self.handles[place], self.now_ms + wait_ms)
        self.now_ms += passed_ms
        due = self.core.tick(self.now_ms)
        assert len(due) == len(set(due))
        assert set(due) == self.model.tick(self.now_ms)

    def _schedule(self, handle: int, due_ms: int) -> None:
        self.core.schedule(handle, ALIVE_TIMER, due_ms)
        if self._lives(handle):
            self.model.schedule(handle, ALIVE_TIMER, due_ms)

    # what holds after each step

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        self.model.note_uses()
        self._note_who_owes()
        self.core.check()
        for connection in self.model.connections.values():
            self._compare(connection)
        totals = self.core.counters.snapshot()
        for name in plain.TOTALS:
            assert totals[name] == self.model.totals[name], name
        for place in range(len(RULES)):
            assert self.core.counters.of_rule(place) == {
                "publications": self.model.publications[place],
                "deliveries": self.model.deliveries[place],
            }
        connections = self.model.connections.values()
        assert self.core.channels.count == len(self.model.channels)
        assert self.delivery.slots.count == len(connections)
        assert self.core.index.subscriptions == sum(len(c.subscriptions) for c in connections)
        assert self.delivery.dirty_count >= sum(c.writable for c in connections)
        assert self.delivery.urgent_count == sum(c.urgent for c in connections)

    def _compare(self, connection: Connection) -> None:
        slot = slot_of(connection.handle)
        stream = bytes(self.wire.stream(slot)) + self.wire.held.get(slot, b"")
        assert stream == b"".join(connection.got)
        if not connection.torn:
            rfc6455.parse(stream)
        assert self.delivery.owed(connection.handle) == {
            "control": len(connection.control),
            "control_bytes": connection.control_bytes,
            "events": len(connection.events),
            "events_bytes": connection.events_bytes,
            "states": len(connection.owed),
            "blocked": connection.blocked,
            "paused": connection.paused,
            "gapped": connection.gapped,
        }
        assert set(self.core.index.topics_of(slot)) == set(connection.subscriptions)
        assert self.core.subscription_count(connection.handle) == len(connection.subscriptions)

    def teardown(self) -> None:
        """However it went: once all is quiet, who listens has the latest of everything."""
        if not hasattr(self, "handles"):
            return
        for handle in self.model.connections:
            self._resume(handle)
            self.delivery.unpause(handle)
            self.model.unpause(handle)
        self._flush_all()
        self.tick(100_000, [])
        self._flush_all()
        for connection in self.model.connections.values():
            if not connection.deaf:
                self._ends_on_the_latest(connection)

    def _ends_on_the_latest(self, connection: Connection) -> None:
        assert not connection.owes
        latest = {}
        for frame in connection.got:
            (message,) = rfc6455.parse(frame)
            if message.payload.startswith(b'{"type":"price"'):
                publication = json.loads(message.payload)
                latest[publication["channel"]] = publication["seq"]
        for channel in self.model.channels.values():
            if channel.is_state and channel.published and connection.matching(channel.name):
                assert latest[channel.name] == channel.seq


def test_the_core_is_what_the_model_says() -> None:
    run_state_machine_as_test(
        CoreAgainstModel,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=80,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_the_model_matches_as_nats_does() -> None:
    assert plain.matches("token.*.update", "token.a.update")
    assert not plain.matches("token.*.update", "token.a.b.update")
    assert plain.matches("token.>", "token.a.b")
    assert not plain.matches("token.>", "token")


def test_the_rig_gives_each_channel_its_rule() -> None:
    assert [rule_of(name) for name in ("state.a", "event.a", "strict.a")] == [0, 1, 2]
