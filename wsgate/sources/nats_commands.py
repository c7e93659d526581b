"""Commands for a NATS server, as bytes: what is written past nats-py."""

from __future__ import annotations


def publish_head(subject: str) -> bytes:
    """What a command to publish on the subject begins with."""
    return b"PUB %b " % subject.encode()


def publish_command(head: bytes, payload: bytes) -> bytes:
    return b"%b%d\r\n%b\r\n" % (head, len(payload), payload)
