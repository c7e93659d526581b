"""The regulator: what passes, what waits, what is dropped, by a clock that the test turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsgate.limits import Limits
from wsgate.regulator import Regulator


class Intake:
    """Channels are named by numbers; the odd ones have subscribers."""

    def __init__(self, limits: Limits) -> None:
        self.now_s = 100.0
        self.passed: list[tuple[str, bytes]] = []
        self.dropped: list[tuple[str, str]] = []
        self.regulator = Regulator(self, limits, lambda: self.now_s)

    def channel_of(self, subject: str) -> int | None:
        return int(subject)

    def is_wanted(self, channel: int) -> bool:
        return channel % 2 == 1

    def pass_on(self, channel: int, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        assert int(subject) == channel
        self.passed.append((subject, payload))
        return True

    def drop(self, channel: int, subject: str, limit: str, seq: int, epoch: str) -> None:
        self.dropped.append((subject, limit))

    def state(self, channel: int, payload: bytes) -> bool:
        return self.regulator.state(channel, str(channel), payload, 0, "")

    def event(self, channel: int, payload: bytes) -> bool:
        return self.regulator.event(channel, str(channel), payload, 0, "")


def test_a_seconds_worth_passes_at_once_and_then_events_are_dropped() -> None:
    intake = Intake(Limits(publications_per_s=3))
    assert [intake.event(1, b"%d" % n) for n in range(5)] == [True, True, True, False, False]
    assert intake.dropped == [("1", "nats")] * 2
    assert intake.regulator.dropped == {"nats": 2}
    intake.now_s += 1 / 3
    assert intake.event(1, b"5")


def test_state_waits_as_its_latest_value_and_passes_when_there_is_room() -> None:
    intake = Intake(Limits(publications_per_s=2))
    for n in range(5):
        assert intake.state(1, b"a%d" % n), "what waits is not refused"
        assert intake.state(2, b"b%d" % n)
    assert intake.passed == [("1", b"a0"), ("2", b"b0")]
    assert intake.regulator.waiting == 2
    assert intake.regulator.conflated == {"nats": 6}
    intake.regulator.release()
    assert len(intake.passed) == 2, "no time has passed"
    intake.now_s += 0.5
    intake.regulator.release()
    assert intake.passed[2:] == [("1", b"a4")], "who waits for longest comes first"
    intake.now_s += 0.5
    intake.regulator.release()
    assert intake.passed[3:] == [("2", b"b4")]
    assert intake.regulator.waiting == 0


def test_no_value_overtakes_one_that_waits() -> None:
    intake = Intake(Limits(publications_per_s=1))
    for channel in (1, 2, 3):
        intake.state(channel, b"old")
    intake.now_s += 10
    intake.state(3, b"new")
    intake.state(4, b"new")
    intake.regulator.release()
    assert intake.passed == [("1", b"old"), ("2", b"old")]


def test_broadcasts_count_only_if_somebody_is_subscribed() -> None:
    intake = Intake(Limits(broadcasts_per_s=1))
    assert all(intake.event(2, b"nobody") for _ in range(10))
    assert intake.event(1, b"first")
    assert not intake.event(1, b"second")
    assert intake.dropped == [("1", "broadcast")]


def test_who_lacks_one_rate_takes_nothing_of_the_other() -> None:
    intake = Intake(Limits(publications_per_s=2, broadcasts_per_s=1))
    assert intake.event(1, b"")
    assert not intake.event(1, b"")
    assert intake.event(2, b""), "the second of the rate that is left"
    assert not intake.event(2, b"")
    assert intake.regulator.dropped == {"broadcast": 1, "nats": 1}


def test_events_and_state_have_every_other_turn() -> None:
    intake = Intake(Limits(publications_per_s=1))
    for channel in range(10, 20):
        intake.state(channel, b"state")
    for _ in range(20):
        intake.now_s += 0.5
        intake.event(1, b"event")
        intake.now_s += 0.5
        intake.event(1, b"event")
    kinds = [payload for _, payload in intake.passed[1:]]
    assert kinds.count(b"state") == 9, "none starves"
    assert kinds.count(b"event") >= 9
    assert all(
        two == {b"state", b"event"}
        for two in map(set, zip(kinds[0:18:2], kinds[1:18:2], strict=True))
    )


steps = st.lists(
    st.tuples(st.sampled_from(["state", "event", "time"]), st.integers(1, 6)), max_size=200
)


@given(steps, st.integers(1, 5), st.integers(1, 5))
def test_every_state_channel_ends_on_its_latest_and_all_is_counted(
    steps: list[tuple[str, int]], publications_per_s: int, broadcasts_per_s: int
) -> None:
    intake = Intake(
        Limits(publications_per_s=publications_per_s, broadcasts_per_s=broadcasts_per_s)
    )
    latest: dict[str, bytes] = {}
    came = 0
    for step, (kind, number) in enumerate(steps):
        if kind == "time":
            intake.now_s += number / 10
            intake.regulator.release()
            continue
        came += 1
        payload = b"%d" % step
        if kind == "state":
            latest[str(number)] = payload
            intake.state(number, payload)
        else:
            intake.event(100 + number, payload)
    passed_in_time = len(intake.passed)
    elapsed_s = intake.now_s - 100.0
    assert passed_in_time <= publications_per_s * (1 + elapsed_s) + 1e-6
    intake.now_s += 100.0
    for _ in range(10):
        intake.now_s += 100.0
        intake.regulator.release()
    last = dict(intake.passed)
    assert {subject: last[subject] for subject in latest} == latest
    counts = intake.regulator
    assert came == len(intake.passed) + counts.conflated.total() + counts.dropped.total()
    assert counts.dropped.total() == len(intake.dropped)
