"""What holds of the whole code: who imports whom, who listens to what, what no file may say."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from chassis.service import bindings_of, handlers_of
from console.district import SERVICES
from contracts.catalogue import contracts
from contracts.gateway import HourBegan
from contracts.message import Command, Event
from contracts.shared import SWEEPERS, SweepHour
from services.gateway.service import Gateway

REPOSITORY = Path(__file__).parents[2]
MODELS = sorted(f"services.{service.name}.model" for service in SERVICES)
DOMAIN = sorted(
    file
    for folder in (
        "contracts",
        "rulebook",
        *(f"services/{name}" for name in (*SWEEPERS, "insurance")),
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


def code_lines(file):
    """Count the lines of a file that hold code: no blank ones, no comments, no docstrings."""
    text = file.read_text()
    skip = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (*skip, tokenize.ENDMARKER):
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return len(lines)


# who imports whom


def test_imports_go_the_way_that_the_design_says():
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


def test_the_chassis_stays_small():
    """The design's guide is 1,500 lines; the broker's bus is 300 that one process never loads."""
    lines = {file.name: code_lines(file) for file in (REPOSITORY / "chassis").glob("*.py")}
    assert lines.pop("rabbit.py") < 300
    assert sum(lines.values()) < 1600


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
    assert hears(kind) == [kind.service]
    (service,) = (service for service in SERVICES if service.name == kind.service)
    assert (f"{kind.service}.commands", kind.type) in bindings_of(service)
    assert len(handlers_of(service())[kind.type]) == 1


@pytest.mark.parametrize(
    "kind",
    [kind for kind in contracts().values() if issubclass(kind, Event)],
    ids=lambda kind: kind.type,
)
def test_every_event_is_fed_to_the_gateway(kind):
    assert Gateway.name in hears(kind)


def test_the_sweepers_are_the_services_that_listen_to_the_hour():
    assert sorted(SWEEPERS) == sorted(set(hears(HourBegan)) - {Gateway.name})


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
