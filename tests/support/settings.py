"""Settings from an environment that has these and no others, whoever runs the tests."""

from __future__ import annotations

import os

import pytest

from wsgate.settings import Settings, reading
from wsgate.settings.names import PREFIXES


def only_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """From now on there are these settings, and no others."""
    for name in list(os.environ):
        if name.upper().startswith(PREFIXES):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return reading.load().settings
