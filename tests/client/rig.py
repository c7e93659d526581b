"""A session in a test's hands: its actions are looked at, and nothing is done with them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from wsgate.client.actions import Action, Announce, AskToken, Dial, Finish, Hang, Say
from wsgate.client.credentials import Credentials, Way
from wsgate.client.errors import Refused
from wsgate.client.interests import Interest
from wsgate.client.items import Gap, Update
from wsgate.client.mailbox import Mailbox
from wsgate.client.session import Session

EVENT, STATE = "token.a.comment", "token.a.update"
EVENTS, STATES = "token.*.comment", "token.*.update"


class Latest(Random):
    """Draws the end of every range, so that delays are what they are at most."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Subscriber:
    def __init__(self, *names: str, max_rate: float | None = None) -> None:
        self.mailbox = Mailbox()
        self.settled = 0
        self.interest = Interest(names, max_rate, self.mailbox, self._settle)

    def _settle(self) -> None:
        self.settled += 1

    @property
    def errors(self) -> dict[str, str]:
        return {name: error.code for name, error in self.interest.errors.items()}

    def read(self) -> list[Any]:
        """Updates as channel and seq, gaps as they are."""
        found: list[Any] = []
        while (item := self.mailbox.take()) is not None:
            found.append((item.channel, item.seq) if isinstance(item, Update) else item)
        return found


class Rig:
    def __init__(
        self,
        token: str | None = None,
        *,
        renewable: bool = False,
        way: Way = Way.SUBPROTOCOL,
        **options: Any,
    ) -> None:
        self.now = 1000.0
        self.session = Session(Credentials(token, renewable, way), random=Latest(), **options)
        self.session.begin(self.now)

    # what it wants

    def actions(self) -> list[Action]:
        actions = list(self.session.actions)
        self.session.actions.clear()
        return actions

    def said(self, connection: int | None = None) -> list[dict[str, Any]]:
        """The commands that it says now; nothing else may be wanted."""
        found = []
        for action in self.actions():
            if not isinstance(action, Announce):
                assert isinstance(action, Say), action
                assert connection is None or action.connection == connection
                found.append(json.loads(action.text))
        return found

    def dialled(self) -> Dial:
        (action,) = self.actions()
        assert isinstance(action, Dial)
        return action

    def ends(self) -> Finish:
        *_, finish = self.actions()
        assert isinstance(finish, Finish)
        return finish

    @property
    def gaps(self) -> list[Gap]:
        return [
            one.news
            for one in self.actions()
            if isinstance(one, Announce) and isinstance(one.news, Gap)
        ]

    # what happens to it

    def connect(self) -> int:
        """The connection it dials for is there."""
        connection = self.dialled().connection
        self.session.opened(connection, "wsgate.v1", self.now)
        return connection

    def hear(self, connection: int, type: str, **fields: Any) -> None:
        message = json.dumps({"type": type, **fields})
        self.session.received(connection, message, self.now)

    def publish(self, connection: int, channel: str, seq: int, prev: int | None = None) -> None:
        prev = seq - 1 if prev is None else prev
        self.hear(connection, "x", channel=channel, seq=seq, prev=prev, data=seq)

    def grant(self, connection: int, command: dict[str, Any], **more: Any) -> None:
        """Answer a subscribe: ``more`` are the entries that are not at 0 of "e1"."""
        given = {name.replace("__", "."): entry for name, entry in more.items()}
        plain = {"epoch": "e1", "seq": 0}
        entries = {name: {} if "*" in name else plain for name in command["channels"]}
        self.hear(connection, "subscribed", id=command["id"], channels=entries | given)

    def subscribe(self, *names: str, max_rate: float | None = None) -> Subscriber:
        subscriber = Subscriber(*names, max_rate=max_rate)
        self.session.subscribe(subscriber.interest, self.now)
        return subscriber

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.session.tick(self.now)

    def close(self, connection: int, code: int = 1006, reason: str = "") -> None:
        self.session.closed(connection, code, reason, self.now)

    def come_back(self) -> int:
        """It has lost its connection, and gets another."""
        self.actions()
        wake_at = self.session.wake_at()
        assert wake_at is not None
        self.now = wake_at
        self.session.tick(self.now)
        return self.connect()


def never(error: Refused | None) -> None:
    raise AssertionError(f"nobody was to be told {error}")


__all__ = ["AskToken", "Hang"]
