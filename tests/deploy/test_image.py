"""The Dockerfile, read and carried out by hand: what it copies is all that is needed."""

import json
import os
import subprocess
import sys

import pytest

from tests.deploy.files import (
    REPOSITORY,
    copied,
    dockerfile,
    final,
    image_environment,
    is_in_the_context,
)

EXEC_ONLY = ("RUN", "CMD", "ENTRYPOINT")


def test_every_instruction_that_runs_something_is_in_exec_form():
    for each in dockerfile():
        if each.name in EXEC_ONLY:
            assert each.rest.startswith("[")
            assert each.exec_form
    (health,) = final("HEALTHCHECK")
    assert health.exec_form[0] == "python"
    compile(health.exec_form[2], "HEALTHCHECK", "exec")


def test_the_image_is_a_small_one_of_a_pinned_python():
    images = {each.words[0] for each in dockerfile() if each.name == "FROM"}
    (image,) = images
    assert image.startswith("python:3.11.")
    assert "-slim-" in image


def test_the_process_is_nobody_special_and_hears_of_a_stop():
    (user,), (signal,), (entrypoint,) = final("USER"), final("STOPSIGNAL"), final("ENTRYPOINT")
    uid, gid = map(int, user.rest.split(":"))
    assert uid > 1000
    assert gid > 1000
    assert signal.rest == "SIGTERM"
    assert entrypoint.exec_form == ["bihuan"]
    names = [each.name for each in dockerfile()]
    assert names.index("USER") > max(n for n, name in enumerate(names) if name == "RUN")


def test_what_is_installed_is_what_is_locked():
    runs = [each.exec_form for each in dockerfile() if each.name == "RUN"]
    installs = [run[2:] for run in runs if run[0].endswith("/pip")]
    assert installs == [
        ["--requirement", "requirements.lock"],
        ["--no-deps", "--no-build-isolation", "."],
    ]


@pytest.mark.parametrize("path", copied())
def test_what_is_copied_is_there_and_reaches_the_build(path):
    assert (REPOSITORY / path).exists()
    assert is_in_the_context(path)


@pytest.mark.parametrize("path", [".git/config", ".venv/bin/python", "ops/secrets/seal_key"])
def test_what_is_no_part_of_the_program_does_not_reach_the_build(path):
    assert not is_in_the_context(path)


def test_the_labels_are_those_that_registries_know():
    (labels,) = final("LABEL")
    known = {"title", "description", "version", "licenses"}
    assert {word.split("=")[0].rpartition(".")[2] for word in labels.words if "=" in word} == known


def test_the_image_sets_nothing_that_is_no_setting():
    ours = {"DATA", "HTTP_ADDRESS", "HTTP_PORT"}
    assert image_environment().keys() == ours | {"PATH", "PYTHONDONTWRITEBYTECODE"}


def test_the_installed_program_needs_nothing_of_the_repository(installed, tmp_path):
    """Every module and every file of data that the repository's packages hold is there."""
    run = """
import json, runpy, sys
sys.argv = ["bihuan", "--help"]
from rulebook import Rulebook
from contracts.catalogue import contracts
import console.main, services.gateway.service
Rulebook.load()
print(json.dumps([console.main.__file__, len(contracts())]))
"""
    done = subprocess.run(
        [sys.executable, "-c", run],
        cwd=tmp_path,
        env={**image_environment(), "PATH": os.environ["PATH"], "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, kinds = json.loads(done.stdout)
    assert where.startswith(str(installed))
    assert kinds > 40
    theirs = subprocess.run(
        ["git", "ls-files", *[path for path in copied() if (REPOSITORY / path).is_dir()]],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    needed = [name for name in theirs if name and not name.endswith((".mako", ".md"))]
    assert [name for name in needed if not (installed / name).exists()] == []
