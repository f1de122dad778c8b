"""What holds of the whole code: who imports whom, who listens to what, what no file may say."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.service import bindings_of, handlers_of
from console.runtime.district import SERVICES
from contracts.catalogue import contracts
from contracts.gateway import HourBegan
from contracts.message import Command, Event
from contracts.shared import SWEEPERS, Resend, ResendBegan, SweepHour
from services.gateway.service import Gateway

REPOSITORY = Path(__file__).parents[2]
MODELS = ["services.gateway.tables", *(f"services.{name}.model" for name in sorted(SWEEPERS))]
DOMAIN = sorted(
    file
    for folder in (
        "contracts",
        "rulebook",
        *(f"services/{name}" for name in SWEEPERS),
    )
    for file in (REPOSITORY / folder).rglob("*.py")
)
FRAMEWORKS = {"nameko", "kombu", "eventlet", "werkzeug"}
REGISTRIES = re.compile(
    r"https?://[\w.-]*(pypi|pythonhosted|npmjs|yarnpkg|rubygems|crates|jfrog|nexus|artifactory)"
    r"|index[-_]url|extra[-_]index|proxy\.golang",
    re.IGNORECASE,
)


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def hears(kind):
    """Name the services that listen to a contract."""
    return [s.name for s in SERVICES if kind.type in {name for _, name in bindings_of(s)}]


BY_CLOCK = ("chassis", "services", "console", "rulebook", "contracts")
ASKS_THE_MACHINE = {
    "chassis/storage/clock.py": "compares it with the database's clock",
    "chassis/ids.py": "for the order of messages that this process makes",
    "chassis/http/client.py": "what an answer says of its own moment",
    "services/gateway/access/tokens.py": "of `bihuan token`, which knows no database",
}

# who imports whom


def test_imports_go_from_higher_floors_to_lower_ones():
    answer = run("-c", "from importlinter import cli; cli.lint_imports_command(['--no-cache'])")
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("model", MODELS)
def test_a_model_brings_no_framework_with_it(model):
    found = run("-c", f"import sys, {model}; print(*{FRAMEWORKS} & sys.modules.keys())")
    assert (found.returncode, found.stdout.strip()) == (0, ""), found.stderr


# the domain and the chassis


@pytest.mark.parametrize("file", DOMAIN, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_the_domain_neither_sleeps_nor_asks_what_time_it_is(file):
    said = re.findall(r"\bsleep\b|\bnow\(\)|\btoday\(\)|\btime\.time\b", file.read_text())
    assert said == []


def test_nothing_that_is_stored_is_dated_by_the_clock_of_a_machine():
    """`Store.now` and `UnitOfWork.clock` tell the database's time; ADR 0026 says why. Who asks the
    machine all the same has a reason."""
    asks = re.compile(
        r"\btime\.time\b|\btime_ns\(|from time import .*\btime\b"
        r"|datetime\.now\(|utcnow\(|date\.today\("
    )
    files = (f for folder in BY_CLOCK for f in (REPOSITORY / folder).rglob("*.py"))
    asking = {str(f.relative_to(REPOSITORY)) for f in files if asks.search(f.read_text())}
    assert asking == ASKS_THE_MACHINE.keys()


# who listens to what


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_whatever_reaches_a_service_has_a_handler(service):
    handled = handlers_of(service())
    assert all(handled[kind] for _, kind in bindings_of(service))
    assert all(kind in contracts() for kind in handled)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in contracts().values() if issubclass(kind, Command)],
    ids=lambda kind: kind.type,
)
def test_a_command_is_handled_by_one_service_and_by_one_handler(kind):
    if kind is SweepHour:
        assert hears(kind) == list(SWEEPERS)  # each sends it to itself
        return
    if kind is Resend:
        assert hears(kind) == [service.name for service in SERVICES]
        return
    assert hears(kind) == [kind.service]
    (service,) = (service for service in SERVICES if service.name == kind.service)
    assert (f"{kind.service}.commands", kind.type) in bindings_of(service)
    assert len(handlers_of(service())[kind.type]) == 1


@pytest.mark.parametrize(
    "kind",
    [k for k in contracts().values() if issubclass(k, Event) and k is not ResendBegan],
    ids=lambda kind: kind.type,
)
def test_every_event_is_fed_to_the_gateway(kind):
    assert Gateway.name in hears(kind)


def test_the_sweepers_are_the_services_that_listen_to_the_hour():
    assert sorted(SWEEPERS) == sorted(set(hears(HourBegan)) - {Gateway.name})


# a write waits for nobody but its own service (fault 15)

CALLERS = {
    "requests", "httpx", "urllib3", "aiohttp", "http.client", "urllib.request", "socket", "ssl",
    "grpc", "xmlrpc", "subprocess", "nameko", "kombu", "amqp", "pika", "eventlet",
}  # fmt: skip


@pytest.mark.parametrize(
    "file",
    [file for file in (REPOSITORY / "services").rglob("*.py") if "migrations" not in file.parts],
    ids=lambda file: str(file.relative_to(REPOSITORY)),
)
def test_no_service_calls_another_while_the_user_waits(file):
    """Whatever crosses a service boundary is a message: no service has the means to call one."""
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    assert {name for name in imported if {name, name.partition(".")[0]} & CALLERS} == set()


# what no file may say


def test_no_file_names_a_place_of_this_machine_or_a_package_registry():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    patterns, found = [REGISTRIES], []
    if len(REPOSITORY.parts) > 2 and REPOSITORY.parts[1] != "tmp":
        patterns.append(re.compile(rf"(?<![\w.-])/{re.escape(REPOSITORY.parts[1])}/"))
    for name in listed.stdout.split("\0"):
        file = REPOSITORY / name
        if name and file.is_file() and file != Path(__file__):
            text = file.read_bytes().decode("utf-8", "replace")
            found += [f"{name}: {m.group()}" for p in patterns for m in p.finditer(text)]
    assert found == []
