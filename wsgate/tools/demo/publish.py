"""Publishes one message: `python -m wsgate.tools.demo.publish NATS_URL SUBJECT JSON`."""

from __future__ import annotations

import argparse
import asyncio
import sys

import nats
import nats.errors
import orjson


def main() -> int:
    parser = argparse.ArgumentParser(prog="publish", description="Publish one message to NATS.")
    parser.add_argument("server", metavar="NATS_URL")
    parser.add_argument("subject", metavar="SUBJECT")
    parser.add_argument("message", metavar="JSON")
    arguments = parser.parse_args()
    try:
        orjson.loads(arguments.message)
    except orjson.JSONDecodeError as error:
        parser.error(f"the gateway drops what is not JSON, and this is not: {error}")
    try:
        asyncio.run(publish(arguments.server, arguments.subject, arguments.message.encode()))
    except (OSError, nats.errors.Error) as error:
        print(f"publish: {arguments.server}: {error}", file=sys.stderr)
        return 1
    return 0


async def publish(server: str, subject: str, payload: bytes) -> None:
    connection = await nats.connect(server, allow_reconnect=False, error_cb=_quiet)
    try:
        await connection.publish(subject, payload)
        await connection.flush()
    finally:
        await connection.close()


async def _quiet(_error: Exception) -> None:
    """What matters is raised as well; nats-py would log it a second time."""


if __name__ == "__main__":
    sys.exit(main())
