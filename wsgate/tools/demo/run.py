"""`wsgate demo`: NATS, gateway, backend and page in one go, and an orderly end of them all."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

import uvloop
from yarl import URL

from wsgate import log
from wsgate.tools.admin_port import LOOPBACK_OF
from wsgate.tools.demo.backend import Backend, Publish
from wsgate.tools.demo.examples import publish_examples, subscribe_example
from wsgate.tools.demo.gateway import DemoGateway, GatewayNotReadyError
from wsgate.tools.demo.market import TOKENS
from wsgate.tools.demo.nats_server import NatsServer, NatsServerError, find_nats_server
from wsgate.tools.demo.page import PageServer
from wsgate.tools.demo.publisher import NatsPublisher

EXIT_OK = 0
EXIT_CANNOT = 2
NO_NATS = "no nats-server (its wheel is not available for this platform, or not installed)"
IN_PROCESS = "feeding the hub in-process"


class DemoError(Exception):
    """Why the demo cannot start, in words for the person who started it."""


@dataclass(frozen=True, slots=True)
class Options:
    host: str
    port: int
    admin_port: int
    page_port: int
    rate: float
    seed: int
    in_process: bool


def run_demo(
    *,
    host: str = "127.0.0.1",
    port: int = 3002,
    admin_port: int = 3003,
    page_port: int = 8080,
    rate: float = 20.0,
    seed: int = 1,
    in_process: bool = False,
) -> int:
    """Run the demo until Ctrl-C (or SIGTERM) and return the exit status.

    ``port`` and ``admin_port`` are the gateway's, ``page_port`` is where the page is served; 0
    takes any free port. ``rate`` is in trades a second; the same ``seed`` makes the same market.
    ``in_process`` does without a NATS server even if there is one.
    """
    options = Options(host, port, admin_port, page_port, rate, seed, in_process)
    log.configure("warning", "text", sys.stderr.buffer)
    try:
        _check(options)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_demo(options))
    except (DemoError, GatewayNotReadyError) as error:
        print(f"wsgate demo: {error}", file=sys.stderr)
        return EXIT_CANNOT
    except KeyboardInterrupt:  # so early that nobody listened for the signal yet
        pass
    return EXIT_OK


async def _demo(options: Options) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    # Closed in the reverse order: first the backend falls silent, last of all NATS goes.
    async with AsyncExitStack() as stack:
        nats, remark = await _start_nats(options, stack)
        nats_url = nats.url if nats else None
        gateway = DemoGateway(options.host, options.port, options.admin_port, nats_url)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        await gateway.ready()
        page = PageServer(
            options.host,
            options.page_port,
            gateway_port=gateway.port,
            describe=lambda gateway_url: _facts(gateway_url, nats_url),
        )
        stack.push_async_callback(page.stop)
        await page.start()
        publish: Publish = gateway.publish
        if nats_url:
            publisher = NatsPublisher(nats_url)
            stack.push_async_callback(publisher.stop)
            await publisher.start()
            publish = publisher.publish
        backend = Backend(seed=options.seed, rate=options.rate, now_s=time.time())
        async with asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(backend.run(publish))
            print(_start_text(options, gateway, page, nats, remark), flush=True)
            await stop.wait()
            publishing.cancel()
    print("\nStopped.", flush=True)


async def _start_nats(options: Options, stack: AsyncExitStack) -> tuple[NatsServer | None, str]:
    """A running server and nothing to remark, or none and the reason."""
    if options.in_process:
        return None, f"left out, as you asked: {IN_PROCESS}"
    executable = find_nats_server()
    if executable is None:
        return None, f"{NO_NATS}: {IN_PROCESS}"
    server = NatsServer(executable)
    stack.push_async_callback(server.stop)
    try:
        await server.start()
    except NatsServerError as error:
        return None, f"{error}: {IN_PROCESS}"
    return server, ""


def _check(options: Options) -> None:
    if not options.rate > 0:
        raise DemoError(f"--rate {options.rate:g} makes no market: use a number above 0")
    ports = {
        "--port": options.port,
        "--admin-port": options.admin_port,
        "--page-port": options.page_port,
    }
    for option, port in ports.items():
        try:
            _bind_once(options.host, port)
        except OSError as error:
            raise DemoError(
                f"cannot listen on {options.host} port {port} ({error.strerror}): "
                f"choose another with {option}, or {option} 0 for any free one"
            ) from error


def _bind_once(host: str, port: int) -> None:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As a server does: what a previous run left in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _facts(gateway_url: str, nats_url: str | None) -> dict[str, Any]:
    """What the page tells its reader to try."""
    examples = [*(publish_examples(nats_url) if nats_url else ()), subscribe_example(gateway_url)]
    hint = (
        "Publish something and see it appear here at once."
        if nats_url
        else "This demo runs without NATS: there is nothing to publish to, but you can subscribe."
    )
    return {"hint": hint, "examples": [asdict(example) for example in examples]}


def _start_text(
    options: Options, gateway: DemoGateway, page: PageServer, nats: NatsServer | None, remark: str
) -> str:
    host = LOOPBACK_OF.get(options.host, options.host)
    page_url = URL.build(scheme="http", host=host, port=page.port)
    gateway_url = str(URL.build(scheme="ws", host=host, port=gateway.port))
    nats_line = f"{nats.url} (a real nats-server, process {nats.pid})" if nats else remark
    lines = [
        "wsgate demo",
        "",
        f"  Page      {page_url}   <- open this",
        f"  Gateway   {gateway_url}",
        f"  NATS      {nats_line}",
        f"  Backend   {TOKENS} tokens, {options.rate:g} trades a second",
        "",
    ]
    examples = publish_examples(nats.url) if nats else []
    for example in (*examples, subscribe_example(gateway_url)):
        lines += [f"  {example.title}:", f"    {example.command}"]
    if nats:
        lines += ["  Take NATS away for a moment, and watch the page:", f"    kill {nats.pid}"]
    return "\n".join([*lines, "", "Ctrl-C stops everything."])
