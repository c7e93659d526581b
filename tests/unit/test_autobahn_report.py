"""The page that says how the Autobahn test suite went, and when that is a failure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.autobahn import report

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()


def verdict(exchange: str = "OK", closing: str = "OK") -> dict[str, Any]:
    return {"behavior": exchange, "behaviorClose": closing}


def test_a_run_in_which_all_went_well() -> None:
    verdicts = {
        "1.1.1": verdict(),
        "7.1.6": verdict("INFORMATIONAL", "INFORMATIONAL"),
        "6.4.3": verdict("NON-STRICT"),
        "6.4.4": verdict("NON-STRICT"),
    }
    assert report.complaints(verdicts) == []
    page = report.page(verdicts)
    assert "| 1.* | Framing | 1 | 0 | 0 | 0 | 0 |" in page
    assert "| 6.* | UTF-8 | 0 | 2 | 0 | 0 | 0 |" in page
    assert "| all | | 1 | 2 | 1 | 0 | 0 |" in page
    assert report.NON_STRICT["6.4.3"] in page


@pytest.mark.parametrize(
    ("exchange", "closing", "column"),
    [
        ("FAILED", "OK", "FAILED"),
        ("OK", "FAILED", "FAILED"),
        ("OK", "UNCLEAN", "FAILED"),
        ("OK", "WRONG CODE", "FAILED"),
        ("OK", "FAILED BY CLIENT", "FAILED"),
        ("NON-STRICT", "UNCLEAN", "FAILED"),
        ("UNIMPLEMENTED", "OK", "UNIMPLEMENTED"),
        ("UNIMPLEMENTED", "FAILED", "UNIMPLEMENTED"),
        ("something new", "OK", "FAILED"),
    ],
)
def test_what_has_to_be_mended(exchange: str, closing: str, column: str) -> None:
    case = {"6.1.1": verdict(exchange, closing)}
    assert report.behaviour(case["6.1.1"]) == column
    assert report.complaints(case) == [f"6.1.1: {exchange}, closing {closing}"]


def test_what_is_left_open_has_to_be_explained() -> None:
    assert report.complaints({"1.1.1": verdict("NON-STRICT")}) == [
        "1.1.1: NON-STRICT, and nothing says why"
    ]
    assert report.complaints({"6.4.3": verdict()}) == ["6.4.3: explained as NON-STRICT, but is OK"]


def test_the_page_explains_what_it_leaves_open_and_has_no_failure() -> None:
    explained = dict(re.findall(r"^- \*\*([\d.]+)\*\*: (.+)$", PAGE, re.MULTILINE))
    assert explained == report.NON_STRICT
    total = re.search(r"^\| all \| \|(.+)\|$", PAGE, re.MULTILINE)
    assert total is not None
    counts = dict(zip(report.COLUMNS, map(int, total[1].split("|")), strict=True))
    assert counts["OK"] > 500
    assert counts["NON-STRICT"] == len(report.NON_STRICT)
    assert counts["FAILED"] == counts["UNIMPLEMENTED"] == 0
