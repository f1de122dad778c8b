"""Generates the passwords and keys of a deployment: a file for each secret of docker-compose.yml.

Existing files are kept. RabbitMQ's definitions are derived from the URIs and from
ops/rabbitmq/definitions.json, and the URI of its management API from the operator's; both are
written each time, and are the same if nothing has changed. Compose mounts each file with its mode,
for container users that are unknown here: so the files are readable by all, and the folder by its
owner only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

OPS = Path(__file__).parent
DEFINITIONS = OPS / "rabbitmq" / "definitions.json"
SERVICES = ("filing", "inspection", "complaints", "insurance", "gateway")
TLS = ("tls_key", "tls_certificate")
FOLDER_MODE, FILE_MODE = 0o700, 0o444


def generated() -> dict[str, str]:
    """Return a new value for every generated secret."""
    values = {name: secrets.token_hex(24) for name in ("postgres_password", "grafana_password")}
    values |= {name: secrets.token_hex(32) for name in ("seal_key", "issuer_key")}
    for user in (*SERVICES, "operator"):
        database = "{service}" if user == "operator" else user
        account = f"{user}:{secrets.token_hex(24)}"
        values[f"{user}_database_url"] = f"postgresql://{account}@postgres:5432/{database}"
        account = f"{user}:{secrets.token_hex(24)}"
        values[f"{user}_amqp_uri"] = f"amqp://{account}@rabbitmq:5672/%2F"
    return values


def definitions(folder: Path) -> str:
    """Return RabbitMQ's definitions: the users with their permissions and password hashes."""
    document = json.loads(DEFINITIONS.read_text())
    for user in document["users"]:
        uri = urlsplit((folder / f"{user['name']}_amqp_uri").read_text().strip())
        if uri.username != user["name"] or not uri.password:
            raise ValueError(f"{user['name']}_amqp_uri must contain {user['name']} and a password.")
        user["hashing_algorithm"] = "rabbit_password_hashing_sha256"
        user["password_hash"] = _hash(user["name"], uri.password)
    return json.dumps(document, indent=2) + "\n"


def _hash(user: str, password: str) -> str:
    """Hash a password as RabbitMQ does; the salt is derived from it, so that the hash stays the
    same."""
    salt = hashlib.sha256(f"bihuan {user} {password}".encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def certificate(folder: Path) -> dict[str, str]:
    """Return a TLS key, and a self-signed certificate for this machine."""
    key, signed = folder / ".key.part", folder / ".certificate.part"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = [
        "req",
        "-x509",
        *kind,
        "-days",
        "825",
        *subject,
        "-keyout",
        str(key),
        "-out",
        str(signed),
    ]
    try:
        done = subprocess.run(["openssl", *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"openssl made no certificate: {done.stderr.strip()}")
        return {"tls_key": key.read_text(), "tls_certificate": signed.read_text()}
    finally:
        key.unlink(missing_ok=True)
        signed.unlink(missing_ok=True)


def write(folder: Path) -> list[str]:
    """Write the missing secrets, and return their names."""
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    new = {name: value for name, value in generated().items() if not (folder / name).exists()}
    there = [name for name in TLS if (folder / name).exists()]
    if len(there) == 1:
        raise ValueError(f"{there[0]} exists without its counterpart; restore that, or move it.")
    if not there:
        new |= certificate(folder)  # both: a key fits its own certificate only
    for name, value in new.items():
        _put(folder / name, value)
    _put(folder / "rabbitmq_definitions", definitions(folder))
    operator = urlsplit((folder / "operator_amqp_uri").read_text().strip())
    account = f"{operator.username}:{operator.password}"
    _put(folder / "operator_broker_admin_uri", f"http://{account}@{operator.hostname}:15672")
    return list(new)


def _put(file: Path, value: str) -> None:
    """Write a file atomically."""
    part = file.with_name(f".{file.name}")
    part.unlink(missing_ok=True)
    part.write_text(value)
    part.chmod(FILE_MODE)
    part.replace(file)


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else OPS / "secrets"
    try:
        made = write(where)
    except (OSError, ValueError) as error:
        sys.exit(f"No secrets were made: {error}")
    print(f"{len(made)} new secrets in {where}." if made else f"All secrets are in {where}.")
