"""What a newcomer can type: shown by the start text and by the page alike."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

SUBJECT = "token.hello.comment"
MESSAGE = '{"user":"you","text":"Hello, browsers!"}'
SUBSCRIBE = '{"type":"subscribe","channels":["token.*.update"]}'


@dataclass(frozen=True, slots=True)
class Example:
    title: str
    command: str


def publish_examples(nats_url: str) -> list[Example]:
    python = f"{_python()} -m wsgate.tools.demo.publish"
    return [
        Example("Publish with what is installed already", f"{python} {_arguments(nats_url)}"),
        Example("The same with the nats command-line tool", f"nats pub -s {_arguments(nats_url)}"),
    ]


def subscribe_example(gateway_url: str) -> Example:
    return Example(
        "Subscribe, in the console of any browser",
        f'ws = new WebSocket("{gateway_url}"); ws.onmessage = e => console.log(e.data); '
        f"ws.onopen = () => ws.send('{SUBSCRIBE}')",
    )


def _arguments(nats_url: str) -> str:
    return f"{nats_url} {SUBJECT} '{MESSAGE}'"


def _python() -> str:
    """This interpreter, by the shortest path that works from here."""
    executable = Path(sys.executable)
    try:
        return str(executable.relative_to(Path.cwd()))
    except ValueError:
        return str(executable)
