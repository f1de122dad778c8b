"""An addition has one place: an event is a class, a reaction a function, an endpoint a declaration.

They are made in a copy of the repository. All that follows from them, documents, rights, routes and
the feed, is looked for there.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("contracts", "chassis", "services", "rulebook", "console", "tools")
TESTS = (
    "__init__.py",
    "district.py",
    "emptied.py",
    "architecture/__init__.py",
    "architecture/added.py",
)

EVENT = '''

class AnswerPraised(Event):
    """Whoever complained has praised the answer."""

    complaint_id: Key
    praise: Text
'''
REACTION = '''

@on(AnswerPraised)
def pass_praise_on(event, uow):
    """Pass praise on to those who looked."""
    uow.record(PraisePassedOn.echo(event))
'''
WHAT_IT_SAYS = '''

class PraisePassedOn(Event):
    """Praise was passed on to those who looked."""

    complaint_id: Key
    praise: Text
'''
COMMAND = '''

class PraiseAnswer(Command):
    """Praise the answer to a complaint."""

    complaint_id: Key
    praise: Text
'''
HANDLER = '''

@on(PraiseAnswer)
def praise_answer(command, uow):
    """Note that the answer is praised."""
    return uow.record(AnswerPraised.echo(command))
'''
ENDPOINT = '    _upon("praise", PraiseAnswer, DESK, {"praise": "辦得好"}),\n'


def append(file, text, imports=""):
    """Add to the end of a file, and import what that needs."""
    marker = "from __future__ import annotations\n"
    before, marker, after = file.read_text().partition(marker)
    file.write_text(before + marker + imports + after + text)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / package, copy / package, ignore=ignored)
    for name in TESTS:
        (copy / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "tests" / name, copy / "tests" / name)
    event = "\nfrom contracts.message import Event\n"
    append(copy / "contracts/complaints.py", EVENT + COMMAND, event)
    append(copy / "contracts/inspection.py", WHAT_IT_SAYS, event)
    praised = "\nfrom contracts.complaints import AnswerPraised"
    append(copy / "services/complaints/handlers/desk.py", HANDLER, f"{praised}, PraiseAnswer\n")
    append(
        copy / "services/inspection/handlers/consequences.py",
        REACTION,
        f"{praised}\nfrom contracts.inspection import PraisePassedOn\n",
    )
    resources = copy / "services/gateway/resources/complaints.py"
    append(resources, "", "\nfrom contracts.complaints import PraiseAnswer\n")
    resources.write_text(resources.read_text().replace("POSTS = (\n", f"POSTS = (\n{ENDPOINT}"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.architecture.added", str(copy)],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((copy / "seen.json").read_text())
    assert Path(found["from"]) == copy / "contracts"
    return found


PATH = "/v1/complaints/{}/praise"


def test_an_endpoint_is_one_declaration_beside_its_command_and_its_handler(seen):
    assert f"POST {PATH.format('<id>')}" in seen["routes"]
    (row,) = (line for line in seen["roles"].splitlines() if PATH.format("<id>") in line)
    assert row.count("all") == 2
    operation = seen["openapi"][PATH.format("{id}")]["post"]
    assert operation["x-roles"] == ["district-office", "hotline-desk"]
    assert operation["summary"] == "Praise the answer to a complaint"
    assert operation["requestBody"]["content"]["application/json"]["example"] == {
        "praise": "辦得好"
    }


def test_an_event_is_one_class(seen):
    assert "#### answer-praised" in seen["catalogue"]
    assert "Heard by: inspection, gateway." in seen["catalogue"].partition("#### answer-praised")[2]
    assert "answer-praised" in json.dumps(seen["asyncapi"])


def test_a_reaction_is_one_function(seen):
    story = seen["story"]
    assert story["answer"]["complaint_id"] == story["complaint"]
    assert story["feed"] == [
        ["complaints", "answer-praised", "辦得好"],
        ["inspection", "praise-passed-on", "辦得好"],
    ]
