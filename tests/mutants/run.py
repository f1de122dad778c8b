"""Mutation testing of every model: `make mutants`, or `make mutants ONLY=insurance`.

With `AGAIN=1`, for whoever has added tests, only the mutants are tested that none noticed the last
time; of a model that has changed since then, all.

A copy of the code is changed in one small place after another (mutmut), and the tests of the
service must notice. Of what they do not notice, `explained.toml` says why that is no fault. The
report is docs/mutants.md; a service that was not asked for keeps its section.

Other code is changed by the group, `make mutants ONLY=permissions` (tests/mutants/groups.py), each
change in a process of its own, in which whole districts run too. That takes hours, so with `MOST=60
SEED=1` only so many are tried, drawn by lot.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.mutants.groups import FAILED_IN_TIME, GROUPS, NONE_FAILED, TIMED_OUT

REPOSITORY = Path(__file__).parents[2]
REPORT = REPOSITORY / "docs" / "mutants.md"
SERVICES = ("filing", "inspection", "complaints", "insurance")
CODE = ("contracts", "chassis", "rulebook", "console")
FAILED, SURVIVED = {1, 3}, {0, 5, 33}
"""How a mutant ends, by mutmut's exit codes: tests failed, or none did; all else is a time-out."""
ENDED = "ended.json"
"""Where a service's copy keeps how each of its mutants ended."""
GOAL = 0.9
HEAD = """# Mutants

`make mutants` changes each model in one small place after another, and runs the unit and service
tests of its service until one fails. The score is the share of mutants that a test notices, less
those of which `tests/mutants/explained.toml` says why nobody could. Generated: do not edit.

After the models come groups of other files (`tests/mutants/groups.py`), each changed in one small
place after another as well, also in its tables and in handlers; but not in the words of errors and
of the log. Where only a sample was drawn it says so.
"""


def lay_out(service):
    """Copy the code, and tell mutmut what to change and which tests to run."""
    folder = REPOSITORY / "build" / "mutants" / service
    shutil.rmtree(folder, ignore_errors=True)
    for name in (*CODE, "services", "tests"):
        skip = shutil.ignore_patterns("__pycache__", "faults", "broker", "deploy")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=skip)
    green = folder / "chassis" / "green.py"  # mutmut has threads of its own, and they are not green
    green.write_text(green.read_text().replace("\neventlet.monkey_patch()\n", "\n"))
    options = {
        "source_paths": ["services"],
        "only_mutate": [f"services/{service}/model.py", f"services/{service}/model/*"],
        "also_copy": list(CODE),
        "pytest_add_cli_args": [
            "-p", "no:cacheprovider", "--suppress-nameko-eventlet-notification",
        ],
        "pytest_add_cli_args_test_selection": tests_of(service),
        "use_git_change_detection": False,
    }  # fmt: skip
    written = "\n".join(f"{name} = {json.dumps(value)}" for name, value in options.items())
    project = (REPOSITORY / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(f"{project}\n[tool.mutmut]\n{written}\n")
    return folder


def tests_of(service):
    """Find the fast tests that know a service: those that need no whole district, which does not
    run without green threads."""
    files = [*(REPOSITORY / "tests/unit").glob("test_*.py")]
    files += (REPOSITORY / "tests/service").glob("test_*.py")
    knows = re.compile(rf"services\.{service}\b|from services import .*\b{service}\b")
    texts = {str(file.relative_to(REPOSITORY)): file.read_text() for file in files}
    return sorted(
        name for name, text in texts.items() if knows.search(text) and "make_district" not in text
    )


def outcomes(folder):
    """Return how each mutant ended, by its name."""
    found = {}
    for file in sorted((folder / "mutants").rglob("*.meta")):
        found |= json.loads(file.read_text())["exit_code_by_key"]
    return found


def change_of(folder, mutant):
    """Return in which function a mutant differs, and how: what was there, and what stands there."""
    shown = mutmut(folder, "show", mutant).stdout
    lines = [line for line in shown.splitlines() if not line.startswith(("---", "+++", "#"))]
    was, becomes = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    function = mutant.rpartition("__mutmut_")[0].rpartition(".model.")[2]
    return {"function": function.replace("xǁ", "").replace("ǁ", "."), "was": was,
            "becomes": becomes}  # fmt: skip


def mutmut(folder, *arguments, **options):
    """Run mutmut in the copy."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(
        command, cwd=folder, text=True, check=False, **({"capture_output": True} | options)
    )


def ended_before(service):
    """Return how each mutant ended the last time; none has if the model has changed since."""
    folder = REPOSITORY / "build" / "mutants" / service
    now, then = (
        {file.name: file.read_text() for file in (root / "services" / service).glob("model/*.py")}
        for root in (REPOSITORY, folder)
    )
    kept = folder / ENDED
    return json.loads(kept.read_text()) if now == then and kept.exists() else {}


def section_of(service, known, *, again):
    """Test a service; give its section of the report, and its score."""
    before = ended_before(service) if again else {}
    noticed = {name: code for name, code in before.items() if code in FAILED}
    others = [name for name in before if name not in noticed]
    folder = lay_out(service)
    ran = mutmut(folder, "run", "--max-children", "2", *others)
    ended = outcomes(folder) | noticed if ran.returncode == 0 else {}
    if not ended or None in ended.values():
        sys.exit(f"{service}: mutmut did not finish.\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}")
    (folder / ENDED).write_text(json.dumps(ended))
    stand = [name for name, code in ended.items() if code in SURVIVED]
    killed = sum(code in FAILED for code in ended.values())
    timed_out = len(ended) - killed - len(stand)
    rows, explained = [], 0
    for name in sorted(stand):
        change = change_of(folder, name)
        why = next((e["reason"] for e in known if change.items() <= e.items()), None)
        explained += why is not None
        rows.append(
            f"- `{change['function']}`: `{change['was']}` becomes `{change['becomes']}`. "
            f"{why or '**Not explained.**'}"
        )
    score = (killed + timed_out) / ((len(ended) - explained) or 1)
    head = (
        f"{len(ended)} mutants, {killed} noticed, {timed_out} ended by the time limit, "
        f"{len(stand)} not noticed, of these {explained} explained: **{score:.1%}**."
    )
    return "\n".join([f"## {service}", "", head, "", *rows]).rstrip() + "\n", score


def section_of_group(name, known, most, seed, *, again):
    """Try the changes of a group, or a sample; give its section of the report, and its score."""
    folder = REPOSITORY / "build" / "mutants" / name
    told = [name, str(folder), str(most), str(seed), *(["--again"] if again else [])]
    command = [sys.executable, "-m", "tests.mutants.trying", *told]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    found = json.loads((folder / "ended.json").read_text())
    tried, count = found["tried"], found["of"]
    ends = [each.pop("ended") for each in tried]
    stand = [each for each, end in zip(tried, ends, strict=True) if end == NONE_FAILED]
    rows, explained = [], 0
    for each in sorted(stand, key=lambda each: (each["file"], each["line"])):
        change = {what: each[what] for what in ("file", "was", "becomes")}
        why = next((e["reason"] for e in known if change.items() <= e.items()), None)
        explained += why is not None
        said = f"`{each['was']}` becomes `{each['becomes']}`"
        rows.append(f"- `{each['file']}`: {said}. {why or '**Not explained.**'}")
    score = (len(tried) - len(stand)) / ((len(tried) - explained) or 1)
    drawn = f"Sample of {len(tried)} of {count}, seed {seed}: " if len(tried) < count else ""
    head = (
        f"{drawn}{len(tried)} mutants, {ends.count(FAILED_IN_TIME)} noticed, "
        f"{ends.count(TIMED_OUT)} ended by the time limit, {len(stand)} not noticed, of these "
        f"{explained} explained: **{score:.1%}**."
    )
    return "\n".join([f"## {name}", "", head, "", *rows]).rstrip() + "\n", score


def sections_of_report():
    """Return what the report says of each service, as it stands now: another may be writing too."""
    report = REPORT.read_text() if REPORT.exists() else ""
    return {part.split("\n")[0]: f"## {part.rstrip()}\n" for part in report.split("\n## ")[1:]}


def main(only, most, seed, *, again):
    """Test the services and groups asked for, or all, and write the report; fail below the goal."""
    file = Path(__file__).with_name("explained.toml")
    known = tomllib.loads(file.read_text()).get("explained", [])
    scores = {}
    for service in only or (*SERVICES, *GROUPS):
        own = [entry for entry in known if entry["service"] == service]
        if service in GROUPS:
            section, scores[service] = section_of_group(service, own, most, seed, again=again)
        else:
            section, scores[service] = section_of(service, own, again=again)
        sys.stdout.write(section)
        sections = sections_of_report() | {service: section}
        REPORT.write_text(
            "\n".join([HEAD, *(sections[s] for s in (*SERVICES, *GROUPS) if s in sections)])
        )
    sys.exit(any(score < GOAL for score in scores.values()))


if __name__ == "__main__":
    told = argparse.ArgumentParser()
    told.add_argument("only", nargs="*")
    told.add_argument("--most", type=int, default=0)
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--again", action="store_true")
    asked = told.parse_args()
    main(asked.only, asked.most, asked.seed, again=asked.again)
