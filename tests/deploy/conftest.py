"""What the deployment stands on, from its own files: a broker and a database server, private."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import available
from tests.deploy.files import OPS, REPOSITORY, SECRETS, copied, make_secrets
from tests.servers.programs import HOST, free_ports


@dataclass
class Deployment:
    """The servers, set up as the containers would be, and the secrets that lead to them."""

    postgres: servers.Postgres
    rabbitmq: servers.Rabbit
    secrets: Path
    rabbitmq_metrics: int

    def secret(self, name):
        return (self.secrets / name).read_text()


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The folder that the image's virtual environment gets, from the build context alone."""
    context = tmp_path_factory.mktemp("context")
    for path in copied():
        if (REPOSITORY / path).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / path, context / path, ignore=ignore)
        else:
            shutil.copy(REPOSITORY / path, context / path)
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-build-isolation", "--no-compile", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", target, "."],
        cwd=context,
        check=True,
    )
    return target


@pytest.fixture(scope="session")
def deployment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment")
    secrets = folder / "secrets"
    make_secrets(secrets)
    plugin = (OPS / "rabbitmq" / "enabled_plugins").read_text().strip("[].\n")
    with free_ports(2) as (metrics, management):
        conf = (OPS / "rabbitmq" / "rabbitmq.conf").read_text()
        assert "15692" in conf
        assert "15672" in conf
        conf = conf.replace(SECRETS, f"{secrets}/").replace("15692", str(metrics))
        conf = conf.replace("15672", str(management))
        conf += f"prometheus.tcp.ip = {HOST}\nmanagement.tcp.ip = {HOST}\n"
        with (
            available(servers.postgres(folder, databases=[])) as postgres,
            available(servers.rabbitmq(folder, conf=conf, plugins=[plugin])) as rabbitmq,
        ):
            make_roles(postgres, secrets)
            ask_for_passwords(postgres)
            for file in secrets.iterdir():
                address(file, postgres.port, rabbitmq.port, management)
            yield Deployment(postgres, rabbitmq, secrets, metrics)


def make_roles(postgres, secrets):
    """Do what PostgreSQL's image does when it has made an empty cluster."""
    subprocess.run(
        [OPS / "postgres" / "roles.sh"],
        env={
            "PATH": os.environ["PATH"],
            "PGHOST": HOST,
            "PGPORT": str(postgres.port),
            "POSTGRES_USER": "bihuan",
            "SECRETS": str(secrets),
        },
        check=True,
    )


def ask_for_passwords(postgres):
    """Let nobody in without the password but the superuser of the tests, as the image does."""
    ((file,),) = postgres.execute("SHOW hba_file")
    rules = ["host all bihuan 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"]
    Path(file).write_text("\n".join(rules) + "\n")
    postgres.execute("SELECT pg_reload_conf()")


def address(file, postgres, rabbitmq, management):
    """Put the addresses of the private servers where those of the containers stand."""
    text = file.read_text()
    moved = text.replace("@postgres:5432/", f"@{HOST}:{postgres}/")
    moved = moved.replace("@rabbitmq:5672/", f"@{HOST}:{rabbitmq}/")
    moved = moved.replace("@rabbitmq:15672", f"@{HOST}:{management}")
    if moved != text:
        file.chmod(0o600)
        file.write_text(moved)
