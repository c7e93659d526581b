"""What tests over real sockets share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certificates import Certificate


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)
