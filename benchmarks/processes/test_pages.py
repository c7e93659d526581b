"""A counter that goes back must be seen, unless its process is another."""

from __future__ import annotations

from benchmarks.processes.pages import Page, resets

TEXT = """\
# TYPE ws_worker_deaths_total counter
ws_worker_deaths_total {deaths}
# TYPE process_start_time_seconds gauge
process_start_time_seconds{{worker="0"}} {began}
process_start_time_seconds{{worker="1"}} 100
# TYPE ws_messages_sent_total counter
ws_messages_sent_total{{subject="a",worker="0"}} {sent}
ws_messages_sent_total{{subject="a",worker="1"}} 7
# TYPE ws_gc_pause_seconds histogram
ws_gc_pause_seconds_bucket{{le="+Inf",worker="0"}} {pauses}
ws_gc_pause_seconds_count{{worker="0"}} {pauses}
ws_gc_pause_seconds_sum{{worker="0"}} 1
# HELP ws_subscriptions_per_client As it is now; it can go down.
# TYPE ws_subscriptions_per_client histogram
ws_subscriptions_per_client_bucket{{le="+Inf",worker="0"}} {now}
ws_subscriptions_per_client_count{{worker="0"}} {now}
ws_subscriptions_per_client_sum{{worker="0"}} {now}
"""


def made(deaths: int = 0, began: int = 100, sent: int = 5, pauses: int = 5, now: int = 5) -> Page:
    return Page.of(
        TEXT.format(deaths=deaths, began=began, sent=sent, pauses=pauses, now=now), at_s=0.0
    )


def test_counters_that_grow_or_stand_are_no_resets() -> None:
    found = resets([made(), made(sent=6, deaths=1), made(sent=6, deaths=1, pauses=8)])
    assert (found.said, found.unsaid) == (0, [])


def test_a_gauge_and_a_histogram_of_now_may_go_down() -> None:
    assert resets([made(now=5), made(now=1)]).unsaid == []


def test_a_counter_that_goes_back_is_told() -> None:
    (told,) = resets([made(sent=5), made(sent=4)]).unsaid
    assert "ws_messages_sent_total" in told and "5 to 4" in told


def test_buckets_and_counts_are_counters() -> None:
    assert len(resets([made(pauses=5), made(pauses=4)]).unsaid) == 2


def test_another_process_may_begin_anew() -> None:
    found = resets([made(), made(began=200, sent=0, pauses=0)])
    assert (found.said, found.unsaid) == (3, [])


def test_what_the_supervisor_counts_has_no_excuse() -> None:
    assert len(resets([made(deaths=1), made(deaths=0, began=200)]).unsaid) == 1


def test_a_series_that_was_missing_is_compared_with_what_it_was() -> None:
    assert len(resets([made(sent=5), Page(0.0), made(sent=4)]).unsaid) == 1


def test_values_of_workers() -> None:
    page = made(sent=5)
    assert page.of_workers("ws_messages_sent_total") == {"0": 5, "1": 7}
    assert page.total("ws_messages_sent_total") == 12
