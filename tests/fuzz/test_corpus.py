"""Every seed, and every input that once was a bug, once more; and what the targets are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import registry
from tests.fuzz.tape import Tape, pieces

INPUTS = [path for name in registry.names() for path in sorted(registry.corpus(name).iterdir())]


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_corpus_is_right(path: Path) -> None:
    registry.load(path.parent.name).check(path.read_bytes())


@pytest.mark.parametrize("name", registry.names())
def test_a_target_takes_anything(name: str) -> None:
    check = registry.load(name).check
    for data in (b"", b"\0", b"\xff" * 300, bytes(range(256)) * 2):
        check(data)


def test_no_corpus_is_without_a_target() -> None:
    folders = (registry.HERE / "corpus").iterdir()
    assert sorted(folder.name for folder in folders) == registry.names()


def test_a_tape_ends_in_zeros() -> None:
    tape = Tape(b"\x05\x01\x00ab")
    assert tape.number(3) == 5 % 4
    assert tape.number(1000) == 256
    assert tape.bytes(1) == b"a" and tape
    assert tape.rest() == b"b" and not tape
    assert tape.number(255) == 0 and tape.bytes(9) == b"" and tape.one_of("xy") == "x"


def test_pieces_are_the_whole() -> None:
    assert pieces(b"abcde", 2) == [b"ab", b"cd", b"e"]
    assert pieces(b"abc", 0) == [b"abc"]
    assert pieces(b"", 0) == pieces(b"", 3) == []
