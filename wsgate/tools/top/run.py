"""`wsgate top`, from its options to its end."""

from __future__ import annotations

import signal
import time

import orjson
from rich.console import Console
from rich.live import Live

from wsgate.tools.admin_port import AdminPort, Unreachable
from wsgate.tools.top.figures import Snapshot, between
from wsgate.tools.top.scrape import Scrape, scrape
from wsgate.tools.top.screen import screen, waiting


def run_live(admin_port: AdminPort, interval_s: float) -> None:
    """Show figures, and renew them, until Ctrl-C or SIGTERM."""
    # The terminal is put right first. Whoever was started in the background ignores SIGINT.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    try:
        with Live(screen=True, auto_refresh=False) as live:
            _watch(live, admin_port, interval_s)
    except KeyboardInterrupt:
        pass


def print_once(admin_port: AdminPort, interval_s: float) -> None:
    """The figures of one interval, as people read them. Raises Unreachable."""
    Console().print(screen(admin_port.url, measure(admin_port, interval_s)))


def print_json(admin_port: AdminPort, interval_s: float) -> None:
    """The figures of one interval, as one JSON object. Raises Unreachable."""
    snapshot = measure(admin_port, interval_s)
    print(orjson.dumps(snapshot, option=orjson.OPT_INDENT_2).decode())


def measure(admin_port: AdminPort, interval_s: float) -> Snapshot:
    before = scrape(admin_port)
    time.sleep(interval_s)
    return between(before, scrape(admin_port))


def _watch(live: Live, admin_port: AdminPort, interval_s: float) -> None:
    before: Scrape | None = None
    seen_s = time.monotonic()
    while True:
        began_s = time.monotonic()
        try:
            after = scrape(admin_port)
        except Unreachable as error:
            before = None
            live.update(
                waiting(admin_port.url, str(error), time.monotonic() - seen_s), refresh=True
            )
        else:
            # The first time there are levels, and no rates yet.
            live.update(screen(admin_port.url, between(before or after, after)), refresh=True)
            before, seen_s = after, after.taken_s
        time.sleep(max(0.0, began_s + interval_s - time.monotonic()))
