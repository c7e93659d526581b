"""Who is let in, and who is not, and why."""

from __future__ import annotations

from tests.support.client import Client, Ended, request
from tests.support.gateway import LocalGateway
from wsgate.metrics.connections import HANDSHAKE_REFUSALS


def refused(gateway: LocalGateway) -> dict[str, int]:
    """All that were refused, by reason, each of which metrics know from the start."""
    counts = {**gateway.app.handshakes.refused, **gateway.app.upgrade.refused}
    assert set(counts) <= set(HANDSHAKE_REFUSALS)
    return {reason: count for reason, count in counts.items() if count}


async def is_upgraded(client: Client) -> bool:
    try:
        return (await client.ask(request())).status == 101
    except (Ended, OSError):
        return False
