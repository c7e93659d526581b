"""Rules as JSON, and a channel name: rules that agree with themselves, or a ValueError."""

from __future__ import annotations

from wsgate.protocol import is_channel, is_channel_or_pattern, is_pattern
from wsgate.rules import Rules, covers, matches, overlaps

WORDS = [
    b'{"subject":"', b'"type":"', b'"kind":"state"', b'"kind":"event"', b'"overflow":"close"',
    b'"overflow":"gap"', b"token.*.update", b"global.>", b".>", b".*", b"[{", b"}]", b"\n", b"gap",
    b"(", b"[", b"\\\\", b"$", b"^", b"|", b"\xc3\xa9",
]  # fmt: skip


def fuzz(data: bytes) -> None:
    text, _, name_bytes = data.partition(b"\n")
    name = name_bytes.decode(errors="replace")
    try:
        rules = Rules.from_json(text)
    except ValueError as error:
        assert str(error)
        return
    subjects = [rule.subject for rule in rules]
    for subject in [*subjects, name]:
        if not is_channel_or_pattern(subject):
            continue
        assert covers(subject, subject) and overlaps(subject, subject)
        assert rules.permits(subject) == any(covers(wide, subject) for wide in subjects), subject
        if is_channel(subject):
            assert not is_pattern(subject)
            found = [place for place, wide in enumerate(subjects) if matches(wide, subject)]
            assert rules.index(subject) == (found[0] if found else None)
