"""The report says what was measured, and whether it is enough."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from bench import report
from bench.groups.lifecycle import recovery
from bench.loads import Outcome
from bench.measure import Figure, bounded, percentile
from bench.plots import draw
from bench.run import GROUPS
from chassis.runtime.green import pause

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {
    "at": "2026-11-25T00:00:00+00:00",
    "cpu": "a processor",
    "cores": 2,
    "memory_gb": 8.0,
    "python": "3.11",
    "postgresql": "15",
    "rabbitmq": "3.10",
    "ours": {"kombu": "5.7"},
    "peers": {"fastapi": "0.163"},
}
SERIES = {
    "plot": "Throughput by batch size",
    "x": "messages & more",
    "y": "events/s",
    "log": True,
    "lines": {"ours": [{"x": 1, "y": 70}, {"x": 400, "y": 4200}], "none": []},
}


@pytest.mark.parametrize(
    ("ours", "peer", "goal", "better", "met"),
    [
        ([600, 700, 800], [100, 100, 100], 6, "more", True),
        ([600, 500, 500], [100, 100, 100], 6, "more", False),
        ([40], [], 37, "more", True),
        ([14], [], 15, "less", True),
        ([16], [], 15, "less", False),
        ([16], [], None, "less", None),
        ([math.inf], [], 15, "less", False),
        ([math.nan], [], 15, "less", False),
        ([], [], 15, "less", None),
    ],
)
def test_a_goal_is_met_or_not(ours, peer, goal, better, met):
    figure = Figure("g", "n", "u", ours, goal, "peer" if peer else None, peer, better)
    assert figure.met is met


def test_the_ratio_is_that_of_the_rounds_and_not_of_the_medians():
    figure = Figure("g", "n", "u", [10, 100, 1000], 1, "peer", [10, 50, 1000])
    assert figure.ratio == 1.0
    assert figure.as_json()["ours_min"] == 10
    assert figure.as_json()["peer_max"] == 1000


def test_what_never_came_is_written_as_nothing():
    entry = Figure("g", "n", "s afterwards", [math.inf], 60, better="less").as_json()
    assert (entry["ours"], entry["ours_max"], entry["met"]) == (None, None, False)
    assert report.cells(entry)[1] == "never"


def test_a_step_that_fails_or_takes_too_long_ends_in_a_row_that_says_so():
    def figures(seconds):
        yield Figure("g", "n", "u", [1])
        pause(seconds)
        raise ValueError

    failed = [*bounded("g", "a step", 60, figures(0))]
    assert [(each.name, each.note) for each in failed] == [
        ("n", ""),
        ("a step", "It failed: ValueError()"),
    ]
    (_, late) = bounded("g", "a step", 0.01, figures(60))
    assert late.note == "It failed: Late('not within 0.01 s')"


def test_a_step_within_one_that_is_too_late_does_not_go_on():
    def inner():
        pause(60)
        yield

    def outer():
        yield from bounded("g", "inner", 60, inner())
        yield Figure("g", "next", "u", [1])

    (late,) = bounded("g", "outer", 0.01, outer())
    assert late.name == "outer"


@pytest.mark.parametrize(
    ("took", "seconds"), [([9, 9, 2, 1], 10.0), ([9, None, 2, 9], 10.0), ([9, 9, 9, 9], math.inf)]
)
def test_it_is_told_when_a_spike_is_over(took, seconds):
    samples = [(100 + 5 * n, each / 1000, "file") for n, each in enumerate(took) if each]
    outcome = Outcome({"seconds": 120, "turns": 4, "statuses": {}, "samples": samples})
    assert recovery(outcome, 100, 120, before=2) == seconds


def test_a_percentile_is_one_of_the_values():
    assert percentile(range(1, 101), 0.95) == 96
    assert percentile([5.0], 0.99) == 5.0


def test_the_report_becomes_a_page_with_its_plots_and_a_table(tmp_path):
    figures = [
        Figure("g", "how | fast", "events/s", [5, 6], 6, "a peer", [1, 1], series=[SERIES]),
        Figure("g", "it failed", "", [], note="It failed."),
    ]
    entries = [figure.as_json() | {"machine": MACHINE} for figure in figures]
    report.write(entries, tmp_path / "bench.json")
    read = json.loads((tmp_path / "bench.json").read_text())
    wanted = {"name", "unit", "ours", "peer", "peer_name", "ratio", "goal", "met"}
    assert all(wanted <= entry.keys() for entry in read)
    report.document(read, tmp_path)
    page = (tmp_path / "performance.md").read_text()
    assert "2 cores (a processor)" in page
    for image in re.findall(r"\((performance-.*\.svg)\)", page):
        ET.parse(tmp_path / image)
    assert "performance-throughput-by-batch-size.svg" in page
    report.show(read, Console(quiet=True))
    ours = f"{report.BY_HAND}\nHere and there.\n"
    (tmp_path / "performance.md").write_text(page + "\n" + ours)
    report.document(read[:1], tmp_path)
    again = (tmp_path / "performance.md").read_text()
    assert again.endswith(ours), "what people wrote stays"
    assert "It failed." not in again


def test_a_plot_of_one_point_or_none_is_drawn_too():
    for line in ([], [{"x": 0, "y": 0}], [{"x": 3, "y": 2.5}]):
        ET.fromstring(draw({**SERIES, "lines": {"ours": line}}))


def test_the_readme_names_every_group():
    assert set(GROUPS) <= set(re.findall(r"[\w-]+", (ROOT / "README.md").read_text()))


def test_what_one_group_arranges_for_itself_is_as_before_for_the_next():
    """In a process of its own: the group has messages of its own, which would stay known here."""
    command = [sys.executable, "-c", ARRANGED]
    ran = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


ARRANGED = """
import chassis.runtime.green
from bench.ours import tally
from chassis.storage import migrations
from console.runtime.district import TOPOLOGY

def stands():
    return dict(TOPOLOGY), migrations.folder_of("filing")

before = stands()
with tally.arranged():
    assert [*TOPOLOGY] == ["tally"] and stands()[1] != before[1]
assert stands() == before
"""
