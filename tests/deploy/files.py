"""Reads the files of the deployment: docker-compose.yml, the Dockerfile, and what they name."""

import fnmatch
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
OPS = REPOSITORY / "ops"
SERVICES = ("filing", "inspection", "complaints", "insurance", "gateway")
ONE_SHOTS = ("migrate", "preflight")
OURS = (*SERVICES, *ONE_SHOTS)
SECRETS = "/run/secrets/"


def compose():
    """Return docker-compose.yml, its merges resolved."""
    return yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))


@dataclass
class Instruction:
    """One instruction of the Dockerfile; `stage` counts from 0."""

    stage: int
    name: str
    rest: str

    @property
    def words(self):
        return self.rest.split()

    @property
    def exec_form(self):
        """The words of an exec form; raises where it is a shell's."""
        return json.loads(self.rest[self.rest.index("[") :])


def dockerfile():
    """Return the instructions of the Dockerfile."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    stage, found = -1, []
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            name, rest = line.split(maxsplit=1)
            stage += name == "FROM"
            found.append(Instruction(stage, name, rest.strip()))
    return found


def final(name):
    """Return the instructions of that name in the last stage: what the image is like."""
    last = dockerfile()[-1].stage
    return [each for each in dockerfile() if each.stage == last and each.name == name]


def copied():
    """Return the paths that are copied from the repository."""
    copies = [each for each in dockerfile() if each.name == "COPY" and "--from" not in each.rest]
    return [path for each in copies for path in each.words[:-1]]


def image_environment():
    """Return the variables that the image sets."""
    pairs = [word.split("=", 1) for each in final("ENV") for word in each.words]
    return dict(pairs)


def environment(name):
    """Return the environment of a container of ours: the image's, and on it the file's."""
    return image_environment() | compose()["services"][name].get("environment", {})


def health_command(name):
    """Return the command by which the engine looks after a container, and None where it does
    not."""
    service = compose()["services"][name]
    if "healthcheck" in service:
        kind, *words = service["healthcheck"]["test"]
        assert kind == "CMD"
        return words
    if service["image"] == compose()["services"]["filing"]["image"] and name not in ONE_SHOTS:
        (check,) = final("HEALTHCHECK")
        return check.exec_form
    return None


def seconds(text):
    """Read a duration of the file."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def make_secrets(folder):
    """Do as `make secrets`, but elsewhere; return what it says."""
    done = subprocess.run(
        [sys.executable, OPS / "make_secrets.py", folder],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def is_in_the_context(path):
    """Return whether .dockerignore lets a path of the repository through."""
    through = True
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, shows = line.removeprefix("!"), line.startswith("!")
        parts = [path, *(str(parent) for parent in Path(path).parents)]
        names = Path(path).parts if pattern.startswith("**/") else parts
        if any(fnmatch.fnmatch(name, pattern.removeprefix("**/")) for name in names):
            through = shows
    return through
