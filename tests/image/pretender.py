"""Stands for a gateway in an image, with a fault that a trial has to find.

pretender.py serve FAULT
pretender.py healthcheck FAULT
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

PORTS = ("WS_PORT", "WS_ADMIN_PORT")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def serve(fault: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if fault == "deaf" else stop)
    if fault == "writes":
        Path("/tmp/state").write_text("something")
    ports = PORTS[:1] if fault == "one port" else PORTS
    for name in ports:
        server = ThreadingHTTPServer(("127.0.0.1", int(os.environ[name])), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        worker = os.fork()
        if worker == 0:
            work()
        while os.waitpid(worker if fault == "orphans" else -1, 0)[0] != worker:
            pass
        if fault == "loses workers":
            threading.Event().wait()


def work() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        time.sleep(3600)


def stop(*_: object) -> None:
    os._exit(3 if FAULT == "ends badly" else 0)


def healthcheck(fault: str) -> None:
    if fault == "always ill":
        sys.exit(1)
    if fault == "always healthy":
        sys.exit(0)
    try:
        urlopen(f"http://127.0.0.1:{os.environ['WS_ADMIN_PORT']}/healthz", timeout=2).close()
    except OSError:
        sys.exit(1)


if __name__ == "__main__":
    COMMAND, FAULT = sys.argv[1:]
    {"serve": serve, "healthcheck": healthcheck}[COMMAND](FAULT)
