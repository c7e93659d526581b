"""Numbers as people read them at a glance."""

from __future__ import annotations

from typing import Final

_THOUSANDS: Final = ("", "k", "M", "G", "T")


def short(number: float, unit: str = "") -> str:
    """Three digits or so: 0, 12.5, 940, 1.25k, 38.1M."""
    size, steps = float(number), 0
    while abs(size) >= 999.5 and steps < len(_THOUSANDS) - 1:
        size, steps = size / 1000, steps + 1
    digits = (
        0 if size == int(size) and not steps else 2 if size < 9.995 else 1 if size < 99.95 else 0
    )
    prefix = f"{_THOUSANDS[steps]}{unit}"
    return f"{size:.{digits}f}{' ' if unit else ''}{prefix}"


def duration(seconds: float) -> str:
    """Its two largest parts: 12 s, 3 min 5 s, 2 h 10 min, 5 d 3 h."""
    left = int(seconds)
    parts: list[str] = []
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
