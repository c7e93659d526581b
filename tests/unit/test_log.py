from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from wsgate import log


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(output: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_json_has_one_object_a_line_with_the_same_keys_first() -> None:
    output = io.BytesIO()
    log.configure("info", "json", output)
    structlog.get_logger("x").info("connected", peer="10.0.0.1", count=3)
    assert output.getvalue().endswith(b"}\n")
    (event,) = logged(output)
    assert list(event) == ["timestamp", "level", "event", "peer", "count"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", event.pop("timestamp"))
    assert event == {"level": "info", "event": "connected", "peer": "10.0.0.1", "count": 3}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_what_is_below_the_level_is_left_out(level: Any) -> None:
    output = io.BytesIO()
    log.configure(level, "json", output)
    levels = ["debug", "info", "warning", "error"]
    for name in levels:
        getattr(structlog.get_logger(), name)("ours")
        logging.getLogger("theirs").log(logging.getLevelNamesMapping()[name.upper()], "theirs")
    wanted = levels[levels.index(level) :]
    seen = [(event["level"], event["event"]) for event in logged(output)]
    assert seen == [(name, who) for name in wanted for who in ("ours", "theirs")]


def test_libraries_come_out_in_the_same_form() -> None:
    output = io.BytesIO()
    log.configure("info", "json", output)
    logging.getLogger("nats.aio.client").warning("lost %s after %d s", "server", 3)
    (event,) = logged(output)
    assert list(event) == ["timestamp", "level", "event", "logger"]
    assert event["event"] == "lost server after 3 s"
    assert event["logger"] == "nats.aio.client"


@pytest.mark.parametrize(("number", "name"), [(25, "info"), (35, "warning"), (99, "critical")])
def test_levels_in_between_are_rounded_down(number: int, name: str) -> None:
    output = io.BytesIO()
    log.configure("debug", "json", output)
    logging.getLogger("x").log(number, "odd")
    assert logged(output)[0]["level"] == name


def test_a_library_that_formats_wrongly_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    output = io.BytesIO()
    log.configure("info", "json", output)
    logging.getLogger("x").info("two %s %s", "one")
    assert "not enough arguments" in capsys.readouterr().err
    assert logged(output) == []


@pytest.mark.parametrize("logger", [structlog.get_logger(), logging.getLogger("x")])
def test_an_exception_is_one_line_of_json(logger: Any) -> None:
    output = io.BytesIO()
    log.configure("info", "json", output)
    try:
        raise KeyError("lost")
    except KeyError:
        logger.exception("failed")
    (event,) = logged(output)
    assert event["level"] == "error"
    assert event["event"] == "failed"
    assert event["exception"].startswith("Traceback")
    assert event["exception"].endswith("KeyError: 'lost'")


@pytest.mark.parametrize(
    ("value", "seen"),
    [("\ud800", "\ud800"), (2**80, 2**80), (b"raw", "b'raw'"), ({1}, "{1}"), ({3: 4}, {"3": 4})],
)
def test_no_line_is_lost_for_an_odd_value(value: object, seen: object) -> None:
    output = io.BytesIO()
    log.configure("info", "json", output)
    structlog.get_logger().info("odd", value=value)
    assert logged(output)[0]["value"] == seen


def test_text_is_for_people() -> None:
    output = io.BytesIO()
    log.configure("info", "text", output)
    structlog.get_logger().warning("slow client", peer="10.0.0.1", name="\ud800é")
    logging.getLogger("aiohttp").error("broken")
    first, second = output.getvalue().decode().splitlines()
    assert re.search(r"\[warning +\] slow client +name=.*\\ud800é.* peer=10\.0\.0\.1$", first)
    assert re.search(r"\[error +\] broken +\[aiohttp\]$", second)


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("output", "no_color", "coloured"),
    [(Terminal(), "", True), (Terminal(), "1", False), (io.BytesIO(), "", False)],
)
def test_colours_are_for_terminals(
    monkeypatch: pytest.MonkeyPatch, output: io.BytesIO, no_color: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    log.configure("info", "text", output)
    structlog.get_logger().info("hello")
    assert (b"\x1b[" in output.getvalue()) is coloured


def test_a_reader_that_has_gone_harms_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        log.configure("info", "json", output)
        structlog.get_logger().info("into the void" * 10_000)
        logging.getLogger("x").info("as well")
        # What could not be written must not come up again when the file is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


def test_standard_output_is_the_default(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    log.configure("info", "json")
    structlog.get_logger().info("here")
    assert json.loads(capfdbinary.readouterr().out)["event"] == "here"
