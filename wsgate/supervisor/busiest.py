"""The busiest channels, over all workers.

Every worker is told every publication and has subscribers of its own. So subscribers are added up,
and publications are those of the worker that has known the channel longest. A ``seq`` is good
within one worker.
"""

from __future__ import annotations

from typing import Any, Protocol


class Workers(Protocol):
    async def ask_all(self, question: str, argument: Any = None) -> list[tuple[int, Any]]: ...


async def busiest(workers: Workers, top: int) -> list[dict[str, Any]]:
    """At most ``top`` channels, those published most first; without those that never were.

    Workers are asked twice: what is busy in one of them need not be in another.
    """
    most: dict[str, int] = {}
    for _, found in await workers.ask_all("busiest", top):
        for name, publications in found:
            most[name] = max(publications, most.get(name, 0))
    names = sorted(most, key=lambda name: (-most[name], name))[:top]
    facts = await workers.ask_all("channels", names)
    channels = [
        _one(name, [(number, found[place]) for number, found in facts if found[place] is not None])
        for place, name in enumerate(names)
    ]
    return [channel for channel in channels if channel["seq"]]  # else forgotten meanwhile


def _one(name: str, facts: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    """``facts``: each worker's number and what it knows of the channel."""
    found: dict[str, Any] = {"channel": name}
    for _, known in facts[:1]:
        found |= {"type": known["type"], "kind": known["kind"]}
    found["subscribers"] = sum(known["subscribers"] for _, known in facts)
    found["publications"] = max((known["publications"] for _, known in facts), default=0)
    found["seq"] = {str(number): known["seq"] for number, known in facts}
    return found
