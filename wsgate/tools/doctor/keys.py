"""The keys that tokens are checked with: whether they can be had."""

from __future__ import annotations

from typing import Final

from wsgate.auth.keyset import KeySet, KeysUnusable
from wsgate.auth.limits import KeyLimits
from wsgate.auth.origins import origin
from wsgate.blueprint import AuthBlueprint
from wsgate.tools.doctor.finding import Finding, ok, problem

TOPIC: Final = "tokens"


async def read(auth: AuthBlueprint) -> KeySet | KeysUnusable:
    """Load them once, as the gateway does: from the settings, from files, or from a URL."""
    try:
        keys = await origin(auth.secret, auth.keys).load(KeyLimits())
    except KeysUnusable as error:
        return error
    assert keys is not None, "loaded for the first time"
    return keys


def judge(found: KeySet | KeysUnusable | None, *, setting: str) -> Finding:
    """None: nobody is asked for a token. ``setting``: where the keys come from."""
    if found is None:
        return ok(TOPIC, "WS_AUTH=none: anybody may connect, and subscribe to all that rules allow")
    if isinstance(found, KeysUnusable):
        return problem(
            TOPIC,
            f"{setting} cannot be used: {found}",
            expected="keys that tokens can be checked with",
            mend=f"the right {setting}",
        )
    algorithms = ", ".join(sorted({key.algorithm for key in found.keys}))
    skipped = f"; {found.skipped} others are of no use here" if found.skipped else ""
    return ok(TOPIC, f"{setting} has keys for {algorithms}, {len(found)} in all{skipped}")
