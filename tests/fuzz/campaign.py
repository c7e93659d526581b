"""Fuzzes one target after another within a time, and keeps what was found.

Each target runs in a process of its own, which a crash may take with it. What it learnt stays in
``build/fuzz/corpus`` for the next time; a finding is a file in ``build/fuzz/findings``, beside a
``.txt`` that says what happened and how to see it again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.fuzz import engine, registry
from tests.fuzz.registry import Target

OUT = Path("build/fuzz")
FINDINGS_MOST = 5  # of one target in one campaign
INPUT_BYTES_MAX = 4096
INPUT_TIMEOUT_S = 20
MEMORY_MIB_MAX = 3072  # of the process: the sanitizers need a part of it
GRACE_S = 2 * INPUT_TIMEOUT_S  # after its time, for an input that hangs to be noticed
PROGRESS_INTERVAL_S = 5.0
REPORT_LINES_MAX = 200

_STATE = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/")
_WRITTEN = re.compile(r"Test unit written to (\S+)")
_INPUTS = re.compile(r"inputs: (\d+)")


def run(names: list[str], seconds: float) -> list[Path]:
    """Divide the seconds over the targets; the findings."""
    began_s = time.monotonic()
    findings: list[Path] = []
    for place, name in enumerate(names):
        left_s = began_s + seconds - time.monotonic()
        findings += _fuzz(registry.load(name), max(1.0, left_s / (len(names) - place)))
    return findings


def _fuzz(target: Target, seconds: float) -> list[Path]:
    print(f"{target.name}: {target.idea}", flush=True)
    deadline_s = time.monotonic() + seconds
    findings: list[Path] = []
    for folder in (_learnt(target), _found(target)):
        folder.mkdir(parents=True, exist_ok=True)
    while len(findings) < FINDINGS_MOST:
        finding = _Run(target, deadline_s).wait()
        # What comes again at once would come again and again.
        if finding is None or finding in findings:
            break
        findings.append(finding)
        if time.monotonic() >= deadline_s:
            break
    return findings


def _learnt(target: Target) -> Path:
    return OUT / "corpus" / target.name


def _found(target: Target) -> Path:
    return OUT / "findings" / target.name


class EngineDied(Exception):
    """The engine itself failed; the message has what it said."""


class _Run:
    """One process. It ends at its deadline, with a finding, or is ended soon after."""

    def __init__(self, target: Target, deadline_s: float) -> None:
        self._target = target
        self._deadline_s = deadline_s
        self._lines: list[str] = []
        self._inputs = self._coverage = self._coverage_at_first = self._corpus = 0
        self._finding: Path | None = None

    def wait(self) -> Path | None:
        left_s = max(1.0, self._deadline_s - time.monotonic())
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.fuzz", "--engine"),
                *(self._target.name, str(self._deadline_s)),
                *self._options(),
            ],
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            alarm = threading.Timer(left_s + GRACE_S, process.kill)
            alarm.start()
            try:
                self._follow(process)
            finally:
                alarm.cancel()
                if process.poll() is None:
                    process.kill()
        self._tell()
        if self._finding is not None:
            self._report(self._finding, process.returncode)
        elif process.returncode != 0:
            said = "".join(self._lines[-30:])
            raise EngineDied(f"exit status {process.returncode}; it said last:\n{said}")
        return self._finding

    def _options(self) -> list[str]:
        # libFuzzer refuses a dictionary without words.
        words = OUT / f"{self._target.name}.dict"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in self._target.words))
        return [
            *([f"-dict={words}"] if self._target.words else []),
            f"-max_len={INPUT_BYTES_MAX}",
            f"-timeout={INPUT_TIMEOUT_S}",
            f"-rss_limit_mb={MEMORY_MIB_MAX}",
            f"-artifact_prefix={_found(self._target)}/",
            "-report_slow_units=10000",
            str(_learnt(self._target)),
            str(self._target.corpus),
        ]

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        told_s = time.monotonic()
        for line in process.stdout:
            self._lines.append(line)
            del self._lines[:-REPORT_LINES_MAX]
            if found := _INPUTS.match(line):
                self._inputs = int(found[1])
            elif found := _STATE.match(line):
                self._inputs, self._coverage, self._corpus = (
                    int(found[1]),
                    int(found[2]),
                    int(found[4]),
                )
                self._coverage_at_first = self._coverage_at_first or self._coverage
            elif found := _WRITTEN.search(line):
                self._finding = Path(found[1])
            if time.monotonic() - told_s >= PROGRESS_INTERVAL_S:
                told_s = time.monotonic()
                self._tell()

    def _tell(self) -> None:
        left_s = max(0.0, self._deadline_s - time.monotonic())
        grown = self._coverage - self._coverage_at_first
        print(
            f"  {self._inputs} inputs, coverage {self._coverage} (+{grown}),"
            f" {self._corpus} of them kept, {left_s:.0f} s left",
            flush=True,
        )

    def _report(self, finding: Path, returncode: int) -> None:
        how = f"make fuzz REPRO={finding}"
        report = finding.with_name(finding.name + ".txt")
        said = "".join(self._lines)
        report.write_text(f"See it again: {how}\nExit status: {returncode}\n\n{said}")
        print(f"FOUND {finding} ({report.name} says what)\n  {how}", flush=True)


def _environment() -> dict[str, str]:
    """An engine's: see ``engine.LIBFUZZER``. ASan minds not to be the first, and need not."""
    preload = [str(engine.LIBFUZZER), os.environ.get("LD_PRELOAD", "")]
    asan = [os.environ.get("ASAN_OPTIONS", ""), "verify_asan_link_order=0", "quarantine_size_mb=16"]
    return os.environ | {
        "LD_PRELOAD": " ".join(filter(None, preload)),
        "ASAN_OPTIONS": ":".join(filter(None, asan)),
    }


def _escaped(word: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}"
        for byte in word
    )
