"""From metrics to figures: sums, rates that are never negative, and how they look."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wsgate.tools.admin_port import AdminPort, Answer, Unreachable
from wsgate.tools.top.figures import Channel, Figures, between, increase
from wsgate.tools.top.scrape import Samples, Scrape, busiest_channels, sort_samples
from wsgate.tools.top.scrape import scrape as ask
from wsgate.tools.top.screen import screen, waiting
from wsgate.tools.top.words import duration, short

STARTED = "process_start_time_seconds"
SENT = "ws_messages_sent_total"


def scrape(taken_s: float, text: str = "", channels: list[dict[str, Any]] | None = None) -> Scrape:
    gateway, processes = sort_samples(text)
    return Scrape(taken_s, gateway, processes, None if channels is None else tuple(channels))


def worker(number: str, started: float = 1.0, **values: float) -> str:
    """Metrics of one; counters begin with ws_ or process_ and end in _total."""
    lines = [f'{STARTED}{{worker="{number}"}} {started}']
    lines += [f'{name}{{worker="{number}"}} {value}' for name, value in values.items()]
    return "\n".join(lines) + "\n"


def samples(values: Mapping[str, float]) -> Samples:
    made = Samples()
    for name, value in values.items():
        made.add(name, frozenset(), value)
    return made


def test_samples_are_sorted_by_process() -> None:
    gateway, processes = sort_samples(
        "ws_workers 2\n"
        'ws_handshakes_refused_total{reason="origin",worker="0"} 3\n'
        'ws_handshakes_refused_total{reason="address",worker="0"} 4\n'
        'ws_handshakes_refused_total{reason="origin",worker="1"} 5\n'
    )
    assert gateway.total("ws_workers") == 2
    assert processes["0"].total("ws_handshakes_refused_total") == 7
    assert processes["1"].of("ws_handshakes_refused_total") == {
        frozenset({("reason", "origin")}): 5
    }
    assert processes["1"].total("ws_workers") == 0


def test_levels_are_summed_and_rates_are_over_the_time_between() -> None:
    before = worker("0", ws_connections_current=9, ws_messages_sent_total=100)
    before += worker("1", ws_connections_current=1, ws_messages_sent_total=7)
    after = worker("0", ws_connections_current=10, ws_messages_sent_total=180)
    after += worker("1", ws_connections_current=5, ws_messages_sent_total=27)
    snapshot = between(scrape(10.0, before), scrape(14.0, after))
    assert snapshot.interval_s == 4
    assert snapshot.total.connections == 15
    assert snapshot.total.messages_per_s == 25
    assert snapshot.processes["1"].messages_per_s == 5


def test_cpu_is_of_one_core_and_the_supervisor_counts() -> None:
    before = worker("0", process_cpu_seconds_total=1) + worker(
        "supervisor", process_cpu_seconds_total=2, process_resident_memory_bytes=1
    )
    after = worker("0", process_cpu_seconds_total=2) + worker(
        "supervisor", process_cpu_seconds_total=2.1, process_resident_memory_bytes=70
    )
    snapshot = between(scrape(0.0, before), scrape(2.0, after))
    assert snapshot.processes["0"].cpu_percent == 50
    assert snapshot.total.cpu_percent == pytest.approx(55)
    assert snapshot.total.memory_bytes == 70


def test_a_worker_that_was_replaced_began_at_0() -> None:
    old, new = samples({STARTED: 1, SENT: 1000}), samples({STARTED: 2, SENT: 30})
    assert increase(old, new, SENT) == 30
    # Also if it has done more by now than the one before in all its life.
    assert increase(old, samples({STARTED: 2, SENT: 5000}), SENT) == 5000
    assert increase(old, samples({STARTED: 1, SENT: 1500}), SENT) == 500


def test_a_worker_that_did_not_answer_before_has_no_rate_yet() -> None:
    snapshot = between(scrape(0.0), scrape(1.0, worker("0", ws_messages_sent_total=10**6)))
    assert snapshot.total.messages_per_s == 0


@given(
    st.tuples(st.sampled_from([1.0, 2.0]), st.floats(0, 1e12)),
    st.tuples(st.sampled_from([1.0, 2.0]), st.floats(0, 1e12)),
)
def test_no_rate_is_negative(old: tuple[float, float], new: tuple[float, float]) -> None:
    before, after = (samples({STARTED: started, SENT: sent}) for started, sent in (old, new))
    assert increase(before, after, SENT) >= 0


def test_a_first_scrape_has_levels_and_no_rates() -> None:
    only = scrape(5.0, worker("0", ws_connections_current=3, ws_messages_sent_total=9))
    snapshot = between(only, only)
    assert (snapshot.total.connections, snapshot.total.messages_per_s) == (3, 0)


@pytest.mark.parametrize(
    ("lives", "state"),
    [((1, 1), "live"), ((0, 0), "stale"), ((1, 0), "live on 1 of 2 workers")],
)
def test_feeds(lives: tuple[int, int], state: str) -> None:
    lines = [f'ws_feed_live{{source="nats",worker="{n}"}} {live}' for n, live in enumerate(lives)]
    snapshot = between(scrape(0.0), scrape(1.0, "\n".join(lines) + "\n"))
    assert snapshot.feeds == {"nats": state}


def test_what_is_known_of_the_gateway_as_a_whole() -> None:
    text = "ws_workers 2\nws_workers_serving 1\nws_worker_deaths_total 4\n"
    text += 'ws_build_info{python="3.11.7",version="1.2.3",worker="0"} 1\n'
    text += worker("supervisor", started=1000.0) + worker("10") + worker("9")
    snapshot = between(scrape(0.0, text), scrape(1.0, text), now_s=1060.0)
    assert (snapshot.workers_wanted, snapshot.workers_serving, snapshot.worker_deaths) == (2, 1, 4)
    assert (snapshot.version, snapshot.uptime_s) == ("1.2.3", 60)
    assert list(snapshot.processes) == ["0", "9", "10", "supervisor"]


def test_channels() -> None:
    before = scrape(0.0, channels=[{"channel": "a", "subscribers": 1, "publications": 10}])
    after = scrape(
        2.0,
        channels=[
            {"channel": "b", "subscribers": 5, "publications": 100},
            {"channel": "a", "subscribers": 2, "publications": 30},
        ],
    )
    assert between(before, after).channels == (Channel("b", 5, None), Channel("a", 2, 10.0))
    forgotten = scrape(3.0, channels=[{"channel": "a", "subscribers": 1, "publications": 1}])
    assert between(after, forgotten).channels == (Channel("a", 1, 0.0),)
    assert between(before, scrape(1.0)).channels is None


@pytest.mark.parametrize(
    ("answer", "channels"),
    [
        (Answer(404, b"404: Not Found"), None),
        (Answer(200, b"<html>"), None),
        (Answer(200, b"[]"), None),
        (Answer(200, b'{"channels": 1}'), None),
        (Answer(200, b'{"channels": []}'), ()),
        (Answer(200, b'{"channels": [{"channel": "a"}, {}]}'), ({"channel": "a"},)),
    ],
)
def test_a_gateway_may_not_tell_its_channels(
    answer: Answer, channels: tuple[dict[str, str], ...] | None
) -> None:
    assert busiest_channels(answer) == channels


class Pages(BaseHTTPRequestHandler):
    """Answers as a gateway's admin port does: with what is in ``pages``."""

    pages: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        body = self.pages.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"404: Not Found")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def gateway_with(pages: dict[str, bytes]) -> Iterator[AdminPort]:
    handler = type("Handler", (Pages,), {"pages": pages})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield AdminPort("127.0.0.1", server.server_port)
        server.shutdown()
        thread.join()


def test_a_gateway_is_asked_for_both() -> None:
    metrics = worker("0", ws_connections_current=3).encode()
    with gateway_with({"/metrics": metrics}) as admin_port:
        found = ask(admin_port)
        assert found.processes["0"].total("ws_connections_current") == 3
        assert found.channels is None
    busiest = b'{"channels": [{"channel": "a", "subscribers": 2, "publications": 7}]}'
    pages = {"/metrics": metrics, "/debug/channels?top=10": busiest}
    with gateway_with(pages) as admin_port:
        assert ask(admin_port).channels == ({"channel": "a", "subscribers": 2, "publications": 7},)


@pytest.mark.parametrize("pages", [{}, {"/metrics": b"<html>"}, {"/metrics": b"\xff"}])
def test_what_is_no_gateway(pages: dict[str, bytes]) -> None:
    with (
        gateway_with(pages) as admin_port,
        pytest.raises(Unreachable, match="/metrics is none of a gateway"),
    ):
        ask(admin_port)


def shown(renderable: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_screen_fits_80_columns_and_shows_what_matters() -> None:
    text = "ws_workers 2\nws_workers_serving 2\n"
    text += 'ws_feed_live{source="nats",worker="0"} 0\n'
    text += worker("0", ws_connections_current=123_456, ws_backlog_bytes=38_100_000)
    text += worker("supervisor", process_resident_memory_bytes=67_300_000)
    channels = [{"channel": "token.[bold]x[/bold].update", "subscribers": 940, "publications": 0}]
    now = scrape(1.0, text, channels)
    page = shown(screen("http://127.0.0.1:3003", between(now, now)))
    assert max(map(len, page.splitlines())) <= 80
    for part in ("123k", "38.1 MB", "stale", "67.3 MB", "token.[bold]x[/bold].update", "940"):
        assert part in page
    assert "…" not in page
    alone = shown(screen("http://127.0.0.1:3003", between(scrape(0.0, text), scrape(1.0, text))))
    assert "busiest channels" not in alone


def test_a_gateway_that_is_away_is_shown_as_such() -> None:
    page = shown(waiting("http://127.0.0.1:3003", "Connection refused", 65.0))
    assert "No gateway answers, for 1 min 5 s now" in page
    assert "Connection refused" in page


def test_a_snapshot_is_plain_json() -> None:
    now = scrape(1.0, worker("0", ws_connections_current=3), [])
    found = json.loads(orjson.dumps(between(now, now)))
    assert found["total"]["connections"] == 3
    assert found["processes"]["0"]["connections"] == 3
    assert found["channels"] == []


def test_figures_add_up() -> None:
    both = Figures.sum([Figures(connections=1, bytes_per_s=2.5), Figures(connections=2)])
    assert both == Figures(connections=3, bytes_per_s=2.5)
    assert Figures.sum([]) == Figures()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (7, "7"), (940, "940"), (0.5, "0.50"), (12.34, "12.3"), (999.4, "999")),
        *((1000, "1.00k"), (999.6, "1.00k"), (1250, "1.25k"), (38_100_000, "38.1M")),
    ],
)
def test_numbers(number: float, text: str) -> None:
    assert short(number) == text


def test_sizes() -> None:
    assert [short(size, "B") for size in (0, 12, 1500, 67_334_144)] == [
        *("0 B", "12 B", "1.50 kB", "67.3 MB")
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (442800, "5 d 3 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
