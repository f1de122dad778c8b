"""Certificates of a name, by an authority of its own that nobody knows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


class Certificate(NamedTuple):
    authority: Path
    chain: Path
    key: Path


def certificate(folder, host):
    """Make an authority, and a certificate of a host by it; give their files."""
    folder.mkdir()
    made = Certificate(folder / "authority.pem", folder / "chain.pem", folder / "key.pem")
    above, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, name = _name(f"Authority of {host}"), _name(host)
    alone = x509.BasicConstraints(ca=True, path_length=0)
    root = _builder(issuer, issuer, above.public_key()).add_extension(alone, critical=True)
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    leaf = _builder(name, issuer, own.public_key()).add_extension(names, critical=False)
    made.authority.write_bytes(root.sign(above, hashes.SHA256()).public_bytes(PEM))
    made.chain.write_bytes(leaf.sign(above, hashes.SHA256()).public_bytes(PEM))
    form = serialization.PrivateFormat.PKCS8
    made.key.write_bytes(own.private_bytes(PEM, form, serialization.NoEncryption()))
    return made


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(name, issuer, key):
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
