"""A file of settings: settings, or all that is wrong, without what should be a secret."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from wsgate.settings import Settings
from wsgate.settings.file import FileUnusable, parse, unknown_keys
from wsgate.settings.problems import problems
from wsgate.settings.provenance import Provenance
from wsgate.settings.reading import Loaded
from wsgate.settings.report import document, lines

PATH = Path("wsgate.toml")
SECRET = "correct-horse"
WORDS = [name.encode() + b" = " for name in Settings.model_fields] + [
    b"\n", b"'", b'"', b"[", b"]", b"{", b"}", b"[[ws_rules]]\n", b"subject = 'a.*'\n",
    b"type = 'a'\n", b"kind = 'state'\n", b"true", b"0", b"1e3", b"nan", b"1979-05-27",
    b"'nats://me:correct-horse@x:1'", b"'correct-horse'", b"'https://x/jwks?key=correct-horse'",
]  # fmt: skip
# Where it is a secret; a host, a file or a subject of that name is not masked.
SECRETS = ("ws_jwt_secret", "nats_password", "nats_token")


def fuzz(data: bytes) -> None:
    try:
        content = parse(PATH, data)
    except FileUnusable as error:
        assert str(error).startswith(f"{PATH}:")
        return
    strangers = list(unknown_keys(PATH, content))
    in_file = {name: value for name, value in content.items() if name in Settings.model_fields}
    assert len(strangers) + len(in_file) == len(content)
    provenance = Provenance(in_environment=(), in_file=in_file, file=PATH)
    try:
        settings = Settings(**in_file)
    except ValidationError as error:
        shown = "\n".join(problems(error, provenance))
        assert shown
    else:
        loaded = Loaded(settings=settings, provenance=provenance, warnings=())
        shown = "\n".join([*lines(loaded), str(document(loaded)), repr(settings)])
        settings.blueprint()
    others = [in_file[name] for name in in_file if name not in SECRETS]
    if SECRET not in str(others) and SECRET in str(in_file):
        assert SECRET not in shown
