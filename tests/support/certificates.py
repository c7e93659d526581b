"""Certificates made on the spot, and what clients need to trust them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


class Certificate:
    """A self-signed certificate for 127.0.0.1 in ``folder``, with its key beside it."""

    def __init__(
        self, folder: Path, name: str = "gateway", *, days: float = 30, issuer: str | None = None
    ) -> None:
        self.path = folder / f"{name}.pem"
        self.key_path = folder / f"{name}.key"
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer or name)])
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(own)
            .issuer_name(own)
            .public_key(self._private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.expires - timedelta(days=max(days, 0) + 365))
            .not_valid_after(self.expires)
            .add_extension(address, critical=False)
            .sign(self._private, SHA256())
        )
        self.write(self.path, self.key_path)

    def write(self, path: Path, key_path: Path, *, passphrase: bytes | None = None) -> None:
        """Put both where somebody expects them, as a renewal does."""
        encryption: KeySerializationEncryption = NoEncryption()
        if passphrase is not None:
            encryption = BestAvailableEncryption(passphrase)
        path.write_bytes(self._certificate.public_bytes(Encoding.PEM))
        key_path.write_bytes(
            self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        )

    @property
    def der(self) -> bytes:
        return self._certificate.public_bytes(Encoding.DER)

    def trusted(self) -> ssl.SSLContext:
        """What a browser would use that trusts this certificate, and no other."""
        text = self._certificate.public_bytes(Encoding.PEM).decode()
        return ssl.create_default_context(cadata=text)


class Authority:
    """An authority of one's own, and a certificate for 127.0.0.1 that it has signed."""

    def __init__(self, folder: Path) -> None:
        self.own_path = folder / "authority.pem"
        self.path = folder / "signed.pem"
        self.key_path = folder / "signed.key"
        own_key = ec.generate_private_key(ec.SECP256R1())
        own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        own = (
            _dated()
            .subject_name(own_name)
            .issuer_name(own_name)
            .public_key(own_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(own_key, SHA256())
        )
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        signed = (
            _dated()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")]))
            .issuer_name(own_name)
            .public_key(key.public_key())
            .add_extension(address, critical=False)
            .sign(own_key, SHA256())
        )
        self.own_path.write_bytes(own.public_bytes(Encoding.PEM))
        self.path.write_bytes(signed.public_bytes(Encoding.PEM))
        self.key_path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


def _dated() -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
    )
