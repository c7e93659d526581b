"""SIGHUP: the file of settings is read anew, and workers that follow it replace the others."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.issuer import SECRET, token
from tests.support.process import GatewayProcess, gateway_process, until
from wsgate.admin import NO_TICKETS

__all__ = ["gateway_process"]  # a fixture

NewGateway = Callable[..., GatewayProcess]


def test_sighup_reads_the_file_anew(gateway_process: NewGateway, tmp_path: Path) -> None:
    file = tmp_path / "wsgate.toml"
    file.write_text("ws_port = 0\nws_workers = 1\nws_allowed_origins = ['https://old.example']\n")
    # Empty is not set: these are the file's.
    gateway = gateway_process(WS_CONFIG=file, WS_PORT="", WS_WORKERS="").start()
    assert gateway.asked_from("https://old.example") == 101
    assert gateway.asked_from("https://new.example") == 403

    file.write_text("ws_port = ")
    gateway.signal(signal.SIGHUP)
    wrong = "the settings are wrong now; workers stay as they are"
    until(lambda: gateway.logged(wrong), "the news that the file is wrong")
    (told,) = gateway.logged(wrong)
    assert told["problems"] == [f"{file}:1:11: it is not TOML: Invalid value"]
    assert gateway.asked_from("https://old.example") == 101

    file.write_text("ws_port = 1\nws_workers = 2\nws_allowed_origins = ['https://new.example']\n")
    gateway.signal(signal.SIGHUP)
    until(lambda: gateway.logged("all workers were replaced"), "other workers")
    assert gateway.asked_from("https://new.example") == 101
    assert gateway.asked_from("https://old.example") == 403
    (warning,) = gateway.logged("these settings take full effect only with a restart")
    assert warning["settings"] == ["WS_PORT", "WS_WORKERS"]
    assert gateway.stop() == 0


def test_tickets_begin_with_a_start(tmp_path: Path, gateway_process: NewGateway) -> None:
    """A gateway that comes to ask for tokens refuses tickets, since it has given none."""
    file = tmp_path / "wsgate.toml"
    file.write_text("")
    gateway = gateway_process(WS_CONFIG=file).start()
    file.write_text(f"ws_auth = 'jwt'\nws_jwt_secret = '{SECRET.decode()}'\n")
    gateway.signal(signal.SIGHUP)
    until(lambda: gateway.logged("all workers were replaced"), "workers that ask for tokens")

    with connect(f"ws://127.0.0.1:{gateway.port}/?ticket=x", proxy=None) as client:
        with pytest.raises(ConnectionClosed):
            list(iter(lambda: client.recv(timeout=30), None))
        assert (client.protocol.close_code, client.protocol.close_reason) == (4501, "bad_token")
    connection = http.client.HTTPConnection("127.0.0.1", gateway.admin_port, timeout=30)
    try:
        bearer = {"Authorization": f"Bearer {token('HS256', channels=['>'])}"}
        connection.request("POST", "/ticket", headers=bearer)
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)) == (404, {"error": NO_TICKETS})
    finally:
        connection.close()
    assert not [one for one in gateway.log if "exception" in one]
    assert gateway.stop() == 0
