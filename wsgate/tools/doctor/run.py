"""`wsgate doctor`, from its options to its exit status."""

from __future__ import annotations

import asyncio

from rich.console import Console

from wsgate.tools.doctor.examination import examine
from wsgate.tools.doctor.finding import Verdict
from wsgate.tools.doctor.report import as_json, print_lines, worst


def run_doctor(*, json: bool) -> int:
    """Print what was found; 1 if any of it is a problem."""
    findings = asyncio.run(examine())
    if json:
        print(as_json(findings))
    else:
        print_lines(findings, Console(highlight=False))
    return 1 if worst(findings) is Verdict.PROBLEM else 0
