"""Settings from the environment, a line each, "NAME=value": settings, or all that is wrong."""

from __future__ import annotations

import os

from pydantic import ValidationError

from wsgate.settings import Settings
from wsgate.settings.problems import problems
from wsgate.settings.shown import MASK, written
from wsgate.settings.words import is_secret

WORDS = [name.upper().encode() + b"=" for name in Settings.model_fields] + [
    b"\n", b"nats://", b"tls://", b"127.0.0.1:4222", b"user:secret@", b"[::1]", b",",
    b"65535", b"0",
    b'[{"subject":"a.*","type":"b","kind":"state"}]', b"a.*,b.>", b"debug", b"json", b"none", b"%",
]  # fmt: skip
SECRETS = [name for name, field in Settings.model_fields.items() if is_secret(field)]
LONG = 8  # a shorter secret may stand in a message by chance


def fuzz(data: bytes) -> None:
    given: dict[str, object] = {}
    for line in os.fsdecode(data).split("\n"):  # as the environment is
        name, _, value = line.partition("=")
        if name.lower() in Settings.model_fields:
            given[name.lower()] = value
    try:
        settings = Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        shown = "\n".join(problems(error))
        assert shown
    else:
        settings.limits()
        settings.subjects_without_rule()
        shown = repr(settings)
        shown += "\n".join(written(name, getattr(settings, name)) for name in Settings.model_fields)
    others = "\n".join(str(given[name]) for name in given if name not in SECRETS)
    for name in SECRETS:
        secret = str(given.get(name, ""))
        if len(secret) >= LONG and secret not in others and secret not in MASK:
            assert secret not in shown, name
