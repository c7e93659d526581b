"""A subscribe command: what of it is allowed, and how it takes effect.

A thousand new channels take 2 ms, which is too long for one go. So the names are checked, and their
channels opened, in portions; then all are subscribed to at once, since a client is told so before
it gets the first value of any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from wsgate.auth.permissions import EVERYTHING, Permissions
from wsgate.core.fanout import Fanout
from wsgate.core.roster import TooManyChannels, TooManyRates
from wsgate.epochs import Epochs
from wsgate.protocol import (
    ErrorCode,
    Place,
    Position,
    ProtocolError,
    Subscribe,
    encode_subscribed,
    is_channel,
    is_channel_or_pattern,
    is_pattern,
)
from wsgate.replays import Lack
from wsgate.rules import Rules, matches

PORTION: Final = 100  # names; 0.2 ms if all are new


Found = Mapping[str, Sequence[tuple[int, bytes]]]


def subscribe(
    core: Fanout,
    handle: int,
    command: Subscribe,
    rules: Rules,
    permissions: Permissions,
    subscriptions_max: int,
    epochs: Epochs,
    recoveries: Counter[str],
) -> Generator[list[Lack] | None, Found | None, bytes]:
    """Yield after each portion but the last; return the reply.

    What is yielded is asked of the origin, and what that has is sent. Raises ProtocolError, with
    nothing subscribed to. The connection must be there each time. Recoveries are counted.
    """
    names = command.channels
    room = subscriptions_max - core.subscription_count(handle)
    # Only near the limit does it matter which channels are held.
    holds = None if room >= len(names) else partial(core.is_subscribed, handle)
    admitted: dict[str, int | None] = {}
    errors: dict[str, ErrorCode] = {}
    for first in range(0, len(names), PORTION):
        if first:
            yield None
        portion = names[first : first + PORTION]
        some, wrong, room = admit(portion, rules, core.rule_of, room, holds, permissions)
        errors |= wrong
        for name, rule in some.items():
            try:
                if rule is not None:
                    _open(core, name, rule, epochs)
                admitted[name] = rule
            except TooManyChannels:
                errors[name] = ErrorCode.TOO_MANY_CHANNELS
    recover = _recoverable(core, handle, command, admitted, rules, epochs)
    lacks = [Lack(name, *place) for name, place in recover.items() if core.lacks(name, *place)]
    # What the origin tells then is all that there is up to here.
    horizons = {lack.channel: core.horizon(lack.channel) for lack in lacks}
    found = (yield lacks) if lacks else None
    interval_ms = max(1, round(1000 / command.max_rate)) if command.max_rate else 0
    subscribed: dict[str, Position] = {}
    try:
        for name, rule in admitted.items():
            if rule is None:
                core.subscribe_pattern(handle, name, interval_ms)
                subscribed[name] = {}
                continue
            try:
                core.subscribe(handle, name, rule, interval_ms)
                subscribed[name] = core.position_of(name)
            except TooManyChannels:  # forgotten since it was opened, to make room
                errors[name] = ErrorCode.TOO_MANY_CHANNELS
    except TooManyRates:
        # One rate for the whole command: it fails on the first channel or not at all.
        raise ProtocolError(ErrorCode.TOO_MANY_RATES, reply_to=command.id) from None
    for name, place in recover.items():
        earlier = found.get(name) if found else None
        if earlier is None:
            recovered = core.catch_up(handle, name, *place)
        else:
            recovered = core.catch_up(handle, name, *place, earlier, horizons[name])
        recoveries["whole" if recovered else "refused"] += 1
        position = core.position_of(name)
        if position:
            subscribed.setdefault(name, position)["recovered"] = recovered
        else:  # there was no room, or it was forgotten since it was opened, to make some
            errors[name] = ErrorCode.TOO_MANY_CHANNELS
    return encode_subscribed(subscribed, errors, command.id)


def admit(
    names: Sequence[str],
    rules: Rules,
    known_rule: Callable[[str], int | None],
    room: int,
    holds: Callable[[str], bool] | None,
    permissions: Permissions = EVERYTHING,
) -> tuple[dict[str, int | None], dict[str, ErrorCode], int]:
    """What of the names may be subscribed to, what is wrong with the rest, and the room left.

    The first by channel or pattern, in order: the place of its rule, None for a pattern.
    ``known_rule(name)``: the place of the rule if this is a channel in use, which needs no check.
    Names are admitted as long as there is ``room``; those that the connection ``holds`` already
    need none. None for ``holds``: there is room for all.
    """
    admitted: dict[str, int | None] = {}
    errors: dict[str, ErrorCode] = {}
    for name in names:
        needs_room = holds is not None and not holds(name)
        if needs_room and room <= 0:  # first, since who asks for too much asks for it often
            errors[name] = ErrorCode.TOO_MANY_SUBSCRIPTIONS
            continue
        rule = known_rule(name)
        if rule is None:
            if not is_channel_or_pattern(name):
                errors[name] = ErrorCode.BAD_CHANNEL
                continue
            if is_pattern(name):
                if not rules.permits(name):
                    errors[name] = ErrorCode.PATTERN_NOT_ALLOWED
                    continue
            elif (rule := rules.index(name)) is None:
                errors[name] = ErrorCode.UNKNOWN_CHANNEL
                continue
        if permissions is not EVERYTHING and not permissions.permits(name):
            errors[name] = ErrorCode.NOT_PERMITTED
            continue
        room -= needs_room
        admitted[name] = rule
    return admitted, errors, room


def _open(core: Fanout, name: str, rule: int, epochs: Epochs) -> None:
    if core.find_channel(name) is None:
        core.open_channel(name, rule, epochs.of(name))


def _recoverable(
    core: Fanout,
    handle: int,
    command: Subscribe,
    admitted: Mapping[str, int | None],
    rules: Rules,
    epochs: Epochs,
) -> dict[str, Place]:
    """What of the positions in the command there is to answer, by channel.

    Not those of channels that the connection gets anyway: it has missed nothing of them.
    """
    patterns = [name for name, rule in admitted.items() if rule is None]
    found = {}
    for name, place in command.recover.items():
        if admitted.get(name) is None:
            rule = rules.index(name) if is_channel(name) else None
            if rule is None or not any(matches(pattern, name) for pattern in patterns):
                continue
            with suppress(TooManyChannels):  # said in the end: there may be room by then
                _open(core, name, rule, epochs)
        if not core.is_covered(handle, name):
            found[name] = place
    return found
