"""How a snapshot looks on a terminal."""

from __future__ import annotations

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wsgate.tools.top.figures import Channel, Figures, Snapshot
from wsgate.tools.top.words import duration, short


def screen(url: str, snapshot: Snapshot) -> RenderableType:
    parts: list[RenderableType] = [
        _headline(url, snapshot),
        Columns([_clients(snapshot.total), _sending(snapshot.total), _state(snapshot)]),
        _processes(snapshot),
    ]
    if snapshot.channels is not None:
        parts.append(_channels(snapshot.channels))
    return Group(*parts)


def waiting(url: str, reason: str, since_s: float) -> RenderableType:
    """In place of figures while the gateway does not answer."""
    return Group(
        Text.assemble(("wsgate top", "bold"), f"  {url}"),
        Panel(
            Text.assemble(
                ("No gateway answers", "bold red"),
                f", for {duration(since_s)} now. Waiting for it.\n{reason}",
            ),
            expand=False,
        ),
    )


def _headline(url: str, snapshot: Snapshot) -> Text:
    return Text.assemble(
        ("wsgate top", "bold"),
        f"  {url}  {snapshot.version}, up {duration(snapshot.uptime_s)},"
        f" over {snapshot.interval_s:.1f} s",
    )


def _clients(total: Figures) -> Panel:
    return _facts(
        "clients",
        ("connections", short(total.connections), ""),
        ("handshakes/s", short(total.handshakes_per_s), ""),
        ("refused/s", short(total.refused_per_s), "yellow" if total.refused_per_s else ""),
        ("blocked", short(total.blocked_clients), "yellow" if total.blocked_clients else ""),
    )


def _sending(total: Figures) -> Panel:
    return _facts(
        "sending",
        ("messages/s", short(total.messages_per_s), ""),
        ("bytes/s", short(total.bytes_per_s, "B"), ""),
        ("backlog", short(total.backlog_bytes, "B"), ""),
        ("drops/s", short(total.drops_per_s), "red" if total.drops_per_s else ""),
    )


def _state(snapshot: Snapshot) -> Panel:
    feeds = [
        (f"feed {name}", state, "green" if state == "live" else "red")
        for name, state in snapshot.feeds.items()
    ]
    missing = snapshot.workers_serving < snapshot.workers_wanted
    return _facts(
        "state",
        *feeds,
        (
            "workers",
            f"{snapshot.workers_serving} of {snapshot.workers_wanted}",
            "red" if missing else "",
        ),
        ("deaths", short(snapshot.worker_deaths), "yellow" if snapshot.worker_deaths else ""),
        ("memory", short(snapshot.total.memory_bytes, "B"), ""),
    )


def _facts(title: str, *facts: tuple[str, str, str]) -> Panel:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right", min_width=9)
    for name, value, style in facts:
        table.add_row(name, Text(value, style))
    return Panel(table, title=title, title_align="left", box=box.ROUNDED)


def _processes(snapshot: Snapshot) -> Table:
    table = Table("worker", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for title in ("clients", "new/s", "sent/s", "bytes/s", "backlog", "blocked"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("CPU", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    for name, figures in snapshot.processes.items():
        serves = (
            short(figures.connections),
            short(figures.handshakes_per_s),
            short(figures.messages_per_s),
            short(figures.bytes_per_s, "B"),
            short(figures.backlog_bytes, "B"),
            short(figures.blocked_clients),
        )
        table.add_row(
            name,
            *(serves if name.isdecimal() else ("",) * len(serves)),
            f"{figures.cpu_percent:.0f} %",
            short(figures.memory_bytes, "B"),
        )
    return table


def _channels(channels: tuple[Channel, ...]) -> Table:
    table = Table("busiest channels", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("subscribers", justify="right")
    table.add_column("publications/s", justify="right")
    for channel in channels:
        rate = channel.publications_per_s
        # As text: a name may look like markup.
        table.add_row(
            Text(channel.name), short(channel.subscribers), "" if rate is None else short(rate)
        )
    return table
