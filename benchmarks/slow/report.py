"""Figures into a table that says what each of them means, and into verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.slow.scenario import Sizes
from benchmarks.slow.trial import Figures

OLD_KB_MAX = 256
SOCKET_MEMORY_KB_MAX = 64
P99_SHARE_MAX = 0.20
P99_MS_MAX = 5.0

MEANING = {
    "latency_p50_ms": "others: publisher's write to client's read, half of the events within",
    "latency_p99_ms": "others: 99 % of the events within",
    "latency_max_ms": "others: the slowest event",
    "lost": "others: events that never came",
    "reordered": "others: events out of order or twice",
    "damaged": "others: messages that are not what was sent, or not subscribed to",
    "disconnected": "connections the gateway ended",
    "conflated": "state updates that a newer one took the place of before they were sent",
    "blocked": "connections whose socket took no more when all was published",
    "socket_memory_max_kb": "KB the kernel held for a slow client, gateway's side (sock_diag)",
    "old_max_kb": "KB that are not the latest value, of what a slow client read in the end",
    "old_messages_max": "... and how many messages those were",
    "surplus": "messages that slow clients got behind the latest of their channel",
    "latest_missing": "channels whose latest value a slow client did not get",
    "publisher_late_max_ms": "how late the publisher ever was; high: the load was uneven",
}
FAULTS = ("lost", "reordered", "damaged", "disconnected", "surplus", "latest_missing")
WORST = {*FAULTS, "latency_max_ms", "socket_memory_max_kb", "old_max_kb", "old_messages_max"}


def medians(runs: Sequence[Figures]) -> Figures:
    """Of each figure; the worst where one is one too many."""
    return {
        name: (max if name in WORST else median)([run[name] for run in runs]) for name in runs[0]
    }


def faults(figures: Figures) -> list[str]:
    """What must not happen, whatever the machine's speed."""
    found = [f"{name} {figures[name]:.0f}" for name in FAULTS if figures[name]]
    if figures["old_max_kb"] > OLD_KB_MAX:
        found.append(f"old_max_kb {figures['old_max_kb']:.0f}, at most {OLD_KB_MAX}")
    return found


def faults_of_slow(sizes: Sizes, figures: Figures) -> list[str]:
    """The same where there were clients that read nothing."""
    found = faults(figures)
    if figures["conflated"] == 0:
        found.append("nothing was conflated")
    if figures["blocked"] != sizes.slow:
        found.append(f"only {figures['blocked']:.0f} of {sizes.slow} sockets were ever full")
    if figures["socket_memory_max_kb"] > SOCKET_MEMORY_KB_MAX:
        held = figures["socket_memory_max_kb"]
        found.append(f"socket_memory_max_kb {held:.0f}, at most {SOCKET_MEMORY_KB_MAX}")
    return found


def p99_verdict(without: Figures, with_slow: Figures) -> dict[str, Any]:
    """How much later the others got their events, and whether that is allowed."""
    before, after = without["latency_p99_ms"], with_slow["latency_p99_ms"]
    allowed = max(P99_SHARE_MAX * before, P99_MS_MAX)
    return {"moved_ms": after - before, "allowed_ms": allowed, "met": after - before <= allowed}


def table(sizes: Sizes, without: Figures, with_slow: Figures, runs: int) -> str:
    total = sizes.slow + sizes.others
    published = sizes.published_for_each_bytes / 1e6
    lines = [
        f"{sizes.slow} of {total:,} clients read nothing (SO_RCVBUF {sizes.receive_buffer}) while "
        f"{published:.0f} MB are published for each,",
        f"in {sizes.state_channels} state channels over {sizes.seconds:g} s; the others have one "
        f"event channel, {sizes.event_rate:g} updates/s; "
        + (f"median of {runs} runs" if runs > 1 else "one run"),
        "",
        _row("", "without", f"{sizes.slow} slow"),
    ]
    for name, meaning in MEANING.items():
        cells = (_number(without[name]), _number(with_slow[name]))
        lines.append(f"{_row(name, *cells)}   {meaning}")
    verdict = p99_verdict(without, with_slow)
    word = "met   " if verdict["met"] else "MISSED"
    lines += [
        "",
        f"  target {word} p99 of the others moved by {verdict['moved_ms']:+.2f} ms "
        f"(at most {verdict['allowed_ms']:.2f})",
    ]
    broken = faults(without) + faults_of_slow(sizes, with_slow)
    lines += [f"  BROKEN {what}" for what in broken] or ["  everything else as it must be"]
    return "\n".join(lines) + "\n"


def _row(label: str, *cells: str) -> str:
    return f"  {label:24}" + "".join(f"{cell:>11}" for cell in cells)


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
