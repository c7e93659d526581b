"""The busiest channels: what each worker says, made one answer, and how it is asked for."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.support.gateway import LocalGateway, local_gateway
from tests.support.loop import on_loop
from wsgate.supervisor.busiest import busiest

Facts = dict[str, tuple[int, int, int]]


class Workers:
    """Each of them: by channel, its subscribers, publications and seq."""

    def __init__(self, *workers: Facts) -> None:
        self.workers = workers

    async def ask_all(self, question: str, argument: Any = None) -> list[tuple[int, Any]]:
        answers = {"busiest": self._busiest, "channels": self._channels}
        return [(n, answers[question](worker, argument)) for n, worker in enumerate(self.workers)]

    def _busiest(self, worker: Facts, top: int) -> list[list[Any]]:
        found = [[name, facts[1]] for name, facts in worker.items() if facts[1]]
        return sorted(found, key=lambda one: -one[1])[:top]

    def _channels(self, worker: Facts, names: list[str]) -> list[dict[str, Any] | None]:
        return [self._channel(*worker[name]) if name in worker else None for name in names]

    def _channel(self, subscribers: int, publications: int, seq: int) -> dict[str, Any]:
        counts = {"subscribers": subscribers, "publications": publications, "seq": seq}
        return {"type": "comment", "kind": "event", **counts}


@on_loop
async def test_subscribers_add_up_and_publications_are_the_same_ones() -> None:
    workers = Workers({"a": (3, 10, 10), "b": (1, 4, 104)}, {"a": (5, 7, 7)})
    assert await busiest(workers, 10) == [
        {
            "channel": "a",
            "type": "comment",
            "kind": "event",
            "subscribers": 8,
            "publications": 10,
            "seq": {"0": 10, "1": 7},
        },
        {
            "channel": "b",
            "type": "comment",
            "kind": "event",
            "subscribers": 1,
            "publications": 4,
            "seq": {"0": 104},
        },
    ]


@on_loop
async def test_subscribers_count_in_workers_where_others_are_busier() -> None:
    """The second worker is new: there "old" is not among the first."""
    old = {"old": (1, 100, 100), "new": (0, 5, 5)}
    young = {"old": (2, 1, 1), "new": (0, 5, 5)}
    (first,) = await busiest(Workers(old, young), 1)
    assert (first["channel"], first["subscribers"]) == ("old", 3)


@on_loop
async def test_as_many_as_asked_for_and_in_a_firm_order() -> None:
    workers = Workers(dict.fromkeys("dbca", (0, 5, 5)) | {"e": (0, 6, 6)})
    assert [one["channel"] for one in await busiest(workers, 10)] == list("eabcd")
    assert len(await busiest(workers, 3)) == 3


@on_loop
async def test_nothing_where_nobody_answers() -> None:
    assert await busiest(Workers(), 10) == []


@on_loop
async def test_a_channel_forgotten_between_the_questions_is_left_out() -> None:
    class Forgetful(Workers):
        def _channels(self, worker: Facts, names: list[str]) -> list[dict[str, Any] | None]:
            return [None, *super()._channels(worker, names[1:])]

    found = await busiest(Forgetful({"a": (1, 9, 9), "b": (1, 8, 8)}), 5)
    assert [one["channel"] for one in found] == ["b"]


# over HTTP


async def ask(gateway: LocalGateway, query: str) -> tuple[int, Any]:
    async with (
        gateway.admin() as admin,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{admin.port}/debug/channels{query}") as answer,
    ):
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status, await answer.json()


@on_loop
async def test_what_is_asked_of_a_gateway() -> None:
    async with local_gateway() as gateway:
        await gateway.subscriber("token.a.update", "token.*.update")
        for number in range(30):
            for _ in range(number):
                gateway.publish(f"token.{'abcdefghijklmnopqrstuvwxyz0123'[number]}.update")
        status, found = await ask(gateway, "")
        assert status == 200
        assert len(found["channels"]) == 20
        status, found = await ask(gateway, "?top=1")
        assert found["channels"] == [
            {
                "channel": "token.3.update",
                "type": "token_update",
                "kind": "state",
                "subscribers": 1,
                "publications": 29,
                "seq": {"0": 29},
            }
        ]
        assert len((await ask(gateway, "?top=1000"))[1]["channels"]) == 29


@pytest.mark.parametrize("top", ["0", "1001", "-1", "+5", "%202", "x", "1.5", "", "9" * 5000, "²"])
@on_loop
async def test_how_many_is_a_number_within_bounds(top: str) -> None:
    async with local_gateway() as gateway:
        status, found = await ask(gateway, f"?top={top}")
        assert status == 400
        assert found["error"].startswith("top is a whole number from 1 to 1000, not ")
        assert len(found["error"]) < 100
