"""The containers of docker-compose.yml, each as a process: its command, environment, health check
and stop signal, on a private broker and database server, from what the image installs."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import yaml

from chassis.storage.unit_of_work import SHANGHAI
from console.admin.tokens import token_of_all
from services.gateway.access.tokens import ISSUER, Issuer
from tests import servers
from tests.conftest import available
from tests.deploy.files import (
    ONE_SHOTS,
    OPS,
    SECRETS,
    SERVICES,
    compose,
    environment,
    final,
    health_command,
    seconds,
)
from tests.deploy.test_monitoring import expressions
from tests.district import Client, Stories
from tests.servers.programs import HOST, free_ports, wait_until

REPLICAS = (*SERVICES, "filing")
"""As after `docker compose up --scale filing=2`."""
READ_ONLY = ["unshare", "--mount", "sh", "-c", 'mount -o remount,ro,bind / && exec "$@"', "sh"]
"""Runs a program on a read-only root file system, /tmp included where that is part of it."""


def prefix():
    """What a process is started by: on a read-only file system where that is permitted."""
    tried = subprocess.run([*READ_ONLY, "true"], capture_output=True, check=False)
    return READ_ONLY if tried.returncode == 0 else []


class Container:
    """One container, as a process."""

    def __init__(self, name, port, deployment, folder, program):
        self.name, self.port, self.home = name, port, folder
        given = environment(name) | {"HTTP_PORT": str(port)}
        secrets = f"{deployment.secrets}/"
        self.environment = {key: value.replace(SECRETS, secrets) for key, value in given.items()}
        if "DEPLOYMENT_FILE" in given:  # of the host, which may have none
            machine = deployment.secrets.with_name("machine-id")
            machine.write_text("ab" * 16)
            self.environment["DEPLOYMENT_FILE"] = str(machine)
        self.environment |= {
            "PATH": f"{program}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(program),
            "HOME": str(folder),
        }
        (entrypoint,) = final("ENTRYPOINT")
        (found,) = entrypoint.exec_form
        command = [sys.executable, program / "bin" / found, *compose()["services"][name]["command"]]
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix(), *command],
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def is_healthy(self):
        """Do as the engine does: run the health check."""
        assert self.process.poll() is None, self.said()
        python, *words = health_command(self.name)
        assert python == "python"
        done = subprocess.run(
            [sys.executable, *words], env=self.environment, capture_output=True, check=False
        )
        return done.returncode == 0

    def get(self, path):
        with urlopen(f"http://{HOST}:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def said(self):
        return f"{self.name}: {self.log.read_text()}"


def in_order():
    """Return the one-shots in the order in which compose would start them."""
    waiting, done = list(ONE_SHOTS), []
    while waiting:
        ready = [n for n in waiting if not waiting_for(n) & set(waiting)]
        assert ready, "they wait for each other"
        done += ready
        waiting = [name for name in waiting if name not in ready]
    return done


def waiting_for(name):
    return set(compose()["services"][name]["depends_on"])


@pytest.fixture(scope="module")
def containers(deployment, installed, tmp_path_factory):
    """The one-shots, which must end well, and then the services, until they are healthy."""
    started = []

    def start(name, port):
        folder = tmp_path_factory.mktemp(name)
        started.append(Container(name, port, deployment, folder, installed))
        return started[-1]

    with free_ports(len(REPLICAS)) as ports:
        try:
            for name in in_order():
                once = start(name, 0)
                assert once.process.wait(timeout=120) == 0, once.said()
            running = [start(*each) for each in zip(REPLICAS, ports, strict=True)]
            for each in running:
                wait_until(each.is_healthy, f"{each.name} is healthy")
            yield running
        finally:
            for each in started:
                each.process.kill()
                each.process.wait()


@pytest.fixture(scope="module")
def gateway(containers):
    (gateway,) = (each for each in containers if each.name == "gateway")
    return gateway


class Reached(Stories):
    """A district that is only known by its gateway."""

    def __init__(self, gateway):
        key = Path(gateway.environment["ISSUER_KEY_FILE"])
        issuer = Issuer.from_file(key, ISSUER, create=False)
        self.client = Client(f"http://{HOST}:{gateway.port}", token_of_all(issuer))


def test_an_enterprise_files_through_the_gateway_and_opens(gateway):
    district = Reached(gateway)
    district.today = datetime.now(SHANGHAI).date()
    district.codes = iter([1])
    shop = district.register()
    district.file(shop)
    wait_until(lambda: district.state(shop) == "open", "the enterprise is open")
    wait_until(lambda: "prompt-slip-issued" in district.story(shop), "it has its prompt slip")


def test_every_process_is_ready_and_reports(containers):
    for each in containers:
        assert "false" not in each.get("/readyz")
        assert f'service="{each.name}"' in each.get("/metrics")


def test_two_replicas_share_the_partitions(containers):
    partitions = int(environment("filing")["PARTITIONS"])

    def shares():
        texts = [each.get("/metrics") for each in containers if each.name == "filing"]
        lines = [line for text in texts for line in text.splitlines()]
        return [float(line.split()[-1]) for line in lines if line.startswith("bihuan_partitions{")]

    wait_until(lambda: shares() == [partitions / 2, partitions / 2], "each has its share")


def test_a_broker_that_is_away_is_no_reason_to_restart_anything(containers, deployment):
    deployment.rabbitmq.stop()
    wait_until(lambda: not any(map(ready, containers)), "nobody is ready")
    assert all(each.is_healthy() for each in containers)
    deployment.rabbitmq.start()
    wait_until(lambda: all(map(ready, containers)), "everybody is ready again")


def ready(container):
    try:
        return bool(container.get("/readyz"))
    except HTTPError as error:
        if error.code != 503:
            raise
        return False


def test_prometheus_scrapes_every_process_and_answers(containers, deployment, tmp_path):
    config = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(OPS / "prometheus" / "alerts.yml")]
    for job in config["scrape_configs"]:
        if job.pop("dns_sd_configs", None):
            job["static_configs"] = [
                {"targets": [f"{HOST}:{each.port}"], "labels": {"__meta_dns_name": each.name}}
                for each in containers
            ]
        else:
            job["static_configs"] = [{"targets": [f"{HOST}:{deployment.rabbitmq_metrics}"]}]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    with available(servers.prometheus(tmp_path, file)) as prometheus:

        def processes():
            found = prometheus.query('sum by (process) (up{job="bihuan"})')
            return {each["metric"]["process"]: each["value"][1] for each in found}

        wanted = {name: str(REPLICAS.count(name)) for name in SERVICES}
        wait_until(lambda: processes() == wanted, "every replica of every service is scraped")
        wait_until(lambda: len(prometheus.query('up{job=~"rabbit.*"} == 1')) == 2, "and RabbitMQ")
        (taken,) = prometheus.query('sum(bihuan_messages_total{service="gateway"})')
        assert float(taken["value"][1]) > 0
        for _, expression in expressions():
            prometheus.query(expression.replace("$__rate_interval", "1m"))  # raises if it is wrong
        shown = [e for where, e in expressions() if where == "Inbox queues"]
        assert prometheus.query(shown[0].removesuffix(" > 0"))


def test_every_service_stops_when_it_is_asked_to(containers):
    (instruction,) = final("STOPSIGNAL")
    for each in containers:
        each.process.send_signal(signal.Signals[instruction.rest])
    began = time.monotonic()
    for each in containers:
        grace = seconds(compose()["services"][each.name]["stop_grace_period"])
        assert each.process.wait(timeout=grace) == 0, each.said()
        assert time.monotonic() - began < grace


def test_nothing_was_written_but_the_log(containers, installed):
    for each in containers:
        assert [file.name for file in each.home.iterdir()] == ["log"]
    assert not list(installed.rglob("__pycache__"))
