"""The certificate and its key, read as workers will read them.

Workers would find out too, but only once they are to serve. ValueErrors say what is wrong. What
reads them is of the edge, and loaded only where there is TLS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsgate.settings.parsers import readable


def certificate(path: Path) -> Path:
    """A file with a certificate in it."""
    from wsgate.edge.tls import first_certificate

    with _in_words():
        first_certificate(readable(path))
    return path


def private_key(path: Path) -> Path:
    """A file with a key in it, whosever it is."""
    from wsgate.edge.tls import check_key

    with _in_words():
        check_key(readable(path))
    return path


def check_pair(certificate: Path, key: Path) -> None:
    """Whether a worker could serve with both."""
    from wsgate.edge.tls import load

    with _in_words():
        load(certificate, key)


@contextmanager
def _in_words() -> Iterator[None]:
    from wsgate.edge.tls import CertificateError

    try:
        yield
    except CertificateError as error:
        raise ValueError(error.reason) from None
