"""This Python, as far as its build matters."""

from __future__ import annotations

import importlib.util
import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wsgate.tools.doctor.finding import Finding, ok, problem, warning

TOPIC: Final = "Python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """``openssl_shared``: whether aiofastnet finds the OpenSSL that this Python uses.

    ``free_threaded``: built to run without the GIL. ``isal``: publications can be compressed fast.
    """

    version: str
    openssl_shared: bool
    free_threaded: bool
    isal: bool


def read() -> Python:
    from aiofastnet.openssl_compat import OPENSSL_DYN_LIBS

    return Python(
        version=platform.python_version(),
        openssl_shared=OPENSSL_DYN_LIBS is not None,
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        isal=importlib.util.find_spec("isal") is not None,
    )


def judge(found: Python, *, tls: bool, deflate: bool) -> Iterator[Finding]:
    yield ok(TOPIC, f"CPython {found.version}")
    if found.free_threaded:
        yield warning(
            TOPIC,
            "it is built without the GIL, which makes a process of one thread slower",
            expected="an ordinary build",
            mend="python3.14 instead of python3.14t",
        )
    if not found.openssl_shared and tls:
        yield problem(
            TOPIC,
            "its OpenSSL is built in, out of reach for TLS: the gateway would not start",
            expected="a Python that loads OpenSSL as a shared library",
            mend="the Python of the distribution or of Docker's python image; or TLS in front, and"
            " no WS_TLS_CERT",
        )
    if not found.isal and deflate:
        yield warning(
            TOPIC,
            "isal is not installed: zlib compresses publications, and takes longer",
            expected="isal, where it has a wheel",
            mend="pip install isal, or WS_DEFLATE=false",
        )
