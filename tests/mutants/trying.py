"""Tries changes of a file: each in a process of its own, which has it instead of what is there.

`python -m tests.mutants.trying GROUP FOLDER MOST SEED [--again]` writes how each ended to FOLDER;
all are tried if MOST is 0. What the changes do not touch is loaded once, before any process is
made, and no thread of the hub is begun in this one: so each child begins with green threads of its
own.
"""

import os

fork, wait, kill = os.fork, os.waitpid, os.kill  # before they are made green

import chassis.runtime.green  # noqa: E402, F401, I001

import importlib.util  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from collections import Counter  # noqa: E402
from importlib.machinery import SourceFileLoader  # noqa: E402
from pathlib import Path  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402
from eventlet.patcher import original  # noqa: E402

from tests.mutants.changing import changes_of  # noqa: E402
from tests.mutants.groups import (  # noqa: E402
    FAILED_IN_TIME,
    GROUPS,
    NONE_FAILED,
    REPOSITORY,
    TIMED_OUT,
)

for loaded_once in (
    "alembic.command", "cryptography.hazmat.primitives.ciphers.aead", "jwt", "kombu",
    "marshmallow", "nameko.containers", "sqlalchemy.dialects.sqlite", "sqlalchemy.orm", "structlog",
    "urllib3", "werkzeug.wrappers",
):  # fmt: skip
    importlib.import_module(loaded_once)

TOGETHER = 2
ARGUMENTS = [
    "-x",
    "-q",
    "--assert=plain",
    "-p",
    "no:cacheprovider",
    "--suppress-nameko-eventlet-notification",
]
PATIENCE = 15
"""Seconds after which a test of a change gives up waiting."""
sleep = original("time").sleep


class Instead(SourceFileLoader):
    """Loads a module from another source than its file's."""

    def __init__(self, name, path, source):
        super().__init__(name, path)
        self.source = source

    def get_data(self, path):
        return self.source.encode()

    def path_stats(self, path):
        raise OSError  # nothing that was compiled before is used


class Finder:
    """Finds one module as changed."""

    def __init__(self, change):
        parts = Path(change.file).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.path, self.source = str(REPOSITORY / change.file), change.source

    def find_spec(self, name, _path, _target=None):
        if name != self.name:
            return None
        loader = Instead(name, self.path, self.source)
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


class Covering:
    """Notes which lines each test runs, and how long it takes."""

    def __init__(self, files):
        import coverage

        self.files = [str(REPOSITORY / file) for file in files]
        self.coverage = coverage.Coverage(
            data_file=None, include=self.files, concurrency=["eventlet"], config_file=False
        )
        self.took = {}

    def pytest_runtest_logstart(self, nodeid):
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report):
        self.took[report.nodeid] = self.took.get(report.nodeid, 0.0) + report.duration

    def lines(self):
        data = self.coverage.get_data()
        return {
            str(Path(file).relative_to(REPOSITORY)): {
                line: [context for context in contexts if context]
                for line, contexts in data.contexts_by_lineno(file).items()
            }
            for file in self.files
        }


def in_child(act, seconds, log):
    """Begin a child that does something and ends with what it gives."""
    child = fork()
    if child:
        return child, time.monotonic() + seconds
    code = 70
    try:
        os.setpgid(0, 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        import tests

        tests.PATIENCE = PATIENCE
        hypothesis.settings.register_profile("alike", derandomize=True, database=None)
        hypothesis.settings.load_profile("alike")  # else one test might fail for another's change
        code = act()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child, until):
    """Return the exit code of a child, None while it runs; one that takes too long is killed."""
    done, status = wait(child, os.WNOHANG)
    if done:
        return os.waitstatus_to_exitcode(status)
    if time.monotonic() > until:
        kill(-child, signal.SIGKILL)
        wait(child, 0)
        return TIMED_OUT
    return None


def covered_by(group, folder):
    """Run the tests as things are; give which tests run each line, and how long each takes."""
    kept, sources = folder / "covered.json", group.sources()

    def act():
        covering = Covering(sources)
        covering.coverage.start()
        code = int(pytest.main([*ARGUMENTS, *group.suite()], plugins=[covering]))
        covering.coverage.stop()
        kept.write_text(json.dumps({"lines": covering.lines(), "took": covering.took}))
        return code

    child, until = in_child(act, 3600, folder / "covered.log")
    while (code := ended(child, until)) is None:
        sleep(0.1)
    if code != 0:
        sys.exit(f"the tests fail as things are: {folder / 'covered.log'}")
    return json.loads(kept.read_text())


def tests_for(change, covered):
    """Return the tests of a group for a change: first those that run its line, then all others,
    which may run it while they are loaded, say."""
    lines, took = covered["lines"][change.file], covered["took"]
    # a line within a statement is known by the first line of that
    earlier = [int(line) for line in lines if int(line) <= change.line]
    near = {*lines[str(max(earlier))]} if earlier else set()
    files = Counter()
    for test, seconds in took.items():
        files[test.partition("::")[0]] += seconds

    def order(test):
        file = test.partition("::")[0]
        return files[file], file, took[test]  # file by file: what they share is made once

    return sorted(near, key=order) + sorted(took.keys() - near, key=order)


def try_all(changes, covered, folder):
    """Try changes, some at a time; give how each ended."""
    waiting, running, outcomes = [*changes], {}, {}
    while waiting or running:
        while waiting and len(running) < TOGETHER:
            change = waiting.pop(0)
            chosen = tests_for(change, covered)
            seconds = 60 + 5 * sum(covered["took"].values())
            log = folder / f"{len(outcomes) + len(running)}.log"
            running[change] = in_child(lambda: tried(change, chosen), seconds, log)  # noqa: B023
        for change, (child, until) in [*running.items()]:
            if (code := ended(child, until)) is not None:
                del running[change]
                outcomes[change] = judged(code)
                with (folder / "outcomes.txt").open("a") as file:
                    said = f"{change.file}: {change.was} => {change.becomes}"
                    file.write(f"{outcomes[change]}: {said}\n")
        sleep(0.05)
    return outcomes


def tried(change, chosen):
    """Run tests with a change in place of what is there."""
    sys.meta_path.insert(0, Finder(change))
    return int(pytest.main([*ARGUMENTS, *chosen]))


def judged(code):
    if code == TIMED_OUT:
        return TIMED_OUT
    return NONE_FAILED if code == 0 else FAILED_IN_TIME


def noticed_before(folder, changes):
    """Return how changes ended the last time that a test noticed; none if a file has changed."""
    kept = folder / "ended.json"
    told = json.loads(kept.read_text())["tried"] if kept.exists() else []
    before = {(each["file"], each["line"], each["was"], each["becomes"]): each for each in told}
    found = {each: before.get((each.file, each.line, each.was, each.becomes)) for each in changes}
    if None in found.values():
        return {}
    return {each: was["ended"] for each, was in found.items() if was["ended"] != NONE_FAILED}


def main(name, folder, most, seed, *, again):
    """Try the changes of a group, or so many of them, drawn by lot; or only those again that no
    test noticed the last time."""
    group, folder = GROUPS[name], Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "outcomes.txt").unlink(missing_ok=True)
    changes = [change for file in group.sources() for change in changes_of(REPOSITORY, file)]
    count = len(changes)
    if most and most < count:
        changes = random.Random(seed).sample(changes, most)
    outcomes = noticed_before(folder, changes) if again else {}
    others = [change for change in changes if change not in outcomes]
    outcomes |= try_all(others, covered_by(group, folder), folder)
    told = [
        {"file": each.file, "line": each.line, "was": each.was, "becomes": each.becomes,
         "ended": outcomes[each]}
        for each in changes
    ]  # fmt: skip
    (folder / "ended.json").write_text(json.dumps({"of": count, "tried": told}))


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:5]), again=sys.argv[5:] == ["--again"])
