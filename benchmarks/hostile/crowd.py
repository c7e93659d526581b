"""A crowd of hostile clients, as a process: ``python -m benchmarks.hostile.crowd PORT TOKEN``.

Prints one line of JSON when it ends, which it does with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
from collections import Counter

import uvloop

from benchmarks.hostile.attacks import ATTACKS, Gateway, Line

SOURCES = 50
WORST = (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


async def attack_for_ever(gateway: Gateway, number: int, done: Counter[str], idle_s: float) -> None:
    names = list(ATTACKS)
    while True:
        name = names[(number + done.total()) % len(names)]
        with contextlib.suppress(*WORST):
            source = f"127.0.1.{1 + number % SOURCES}"
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", gateway.port, local_addr=(source, 0)
            )
            try:
                await ATTACKS[name](Line(gateway, reader, writer))
            finally:
                writer.transport.abort()
        done[name] += 1
        await asyncio.sleep(random.uniform(0, 2 * idle_s))


async def hold_open(gateway: Gateway, number: int) -> None:
    """A handshake that never ends, and begins anew when it is cut off."""
    while True:
        with contextlib.suppress(*WORST):
            source = f"127.0.2.{1 + number % SOURCES}"
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", gateway.port, local_addr=(source, 0)
            )
            writer.write(b"GET / HTTP/1.1\r\n")
            while not reader.at_eof():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2):
                        await reader.read(100)
                        break
                writer.write(b"X-Slow: 1\r\n")
            writer.transport.abort()
        await asyncio.sleep(random.uniform(0, 1))


async def crowd(args: argparse.Namespace) -> None:
    gateway = Gateway(args.port, args.token)
    done: Counter[str] = Counter()
    tasks = [
        asyncio.create_task(attack_for_ever(gateway, number, done, args.idle))
        for number in range(args.attackers)
    ]
    for number in range(args.holders):
        tasks.append(asyncio.create_task(hold_open(gateway, number)))
        if number % 200 == 0:
            await asyncio.sleep(0.02)
    print(json.dumps({"event": "ready"}), flush=True)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), lambda: ended.done() or ended.set_result(None))
    await ended
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps({"event": "done", "attacks": done}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("token")
    parser.add_argument("--attackers", type=int, default=0)
    parser.add_argument("--holders", type=int, default=0)
    parser.add_argument("--idle", type=float, default=1.0, help="mean pause between two attacks, s")
    uvloop.run(crowd(parser.parse_args()))
