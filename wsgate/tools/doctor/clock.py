"""The clock: tokens expire by it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Final

from wsgate.tools.doctor.finding import Finding, ok, warning

TOPIC: Final = "clock"

_UNSYNCHRONISED: Final = 0x40  # STA_UNSYNC


class _Timex(ctypes.Structure):
    """The beginning of the kernel's ``struct timex``; ``modes`` 0 only asks."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


@dataclass(frozen=True, slots=True)
class Clock:
    """``error_s``: how far it is off at most, as the kernel reckons."""

    synchronised: bool
    error_s: float


def read() -> Clock | None:
    """None if the kernel does not say."""
    told = _Timex()
    try:
        if ctypes.CDLL(None).adjtimex(ctypes.byref(told)) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return Clock(not told.status & _UNSYNCHRONISED, told.maxerror / 1e6)


def judge(found: Clock | None, *, tokens: bool, leeway_s: float) -> Finding:
    """``tokens``: whether clients have to show some, which is where the time matters."""
    if found is None:
        return ok(TOPIC, "the kernel does not say whether the clock is synchronised")
    if found.synchronised and not (tokens and found.error_s > leeway_s):
        return ok(TOPIC, f"synchronised, off by {found.error_s * 1000:.0f} ms at most")
    if not tokens:
        return ok(TOPIC, "not synchronised; without WS_AUTH=jwt only the log's times depend on it")
    if found.synchronised:
        has = f"synchronised, but off by up to {found.error_s:.1f} s"
    else:
        has = "not synchronised: tokens may expire too early or too late"
    return warning(
        TOPIC,
        has,
        expected=f"right within WS_JWT_LEEWAY_S={leeway_s:g}",
        mend="timedatectl set-ntp true, or chronyd; in a container: on the host",
    )
