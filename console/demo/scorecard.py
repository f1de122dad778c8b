"""The scorecard: the article's figures beside the measured ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from console.client import Client
from console.demo.figures import LABELS, REOPENED, Score, compare
from rulebook import Rulebook

UNCHANGED_FOR = 5.0
"""Seconds without a change after which unequal figures count as measured."""


def measure(client: Client, scale: float, pause: Callable[[float], None]) -> list[Score]:
    """Return the figures once all are equal, or stop changing."""
    last, since = None, time.monotonic()
    while True:
        scores = compare(scale, client.get("/v1/statistics"))
        if all(score.equal for score in scores):
            return scores
        if scores != last:
            last, since = scores, time.monotonic()
        elif time.monotonic() - since > UNCHANGED_FOR:
            return scores
        pause(0.1)


def show(scores: list[Score], book: Rulebook, console: Console) -> None:
    """Print the scorecard, Chinese first."""
    title = book.say("The Fengze month, 10 February to 6 March 2020")
    table = Table(title=f"{title.zh}\n{title.en}", box=box.SIMPLE_HEAVY)
    table.add_column("指標 Figure", no_wrap=True)
    for heading in ("報道 Article", "實測 Measured"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for score in scores:
        words = book.say(LABELS[score.figure])
        indent = (
            "  "
            if score.figure
            in (*REOPENED, "on_duty.out_of_province", "inspection.rectified_on_the_spot")
            else ""
        )
        measured = "—" if score.measured is None else f"{score.measured:,}"
        mark = "[green]✓[/]" if score.equal else "[red]✗[/]"
        table.add_row(f"{indent}{words.zh} {words.en}", f"{score.article:,}", measured, mark)
    console.print(table)


def write(scores: list[Score], path: Path) -> None:
    """Write the scorecard as JSON."""
    rows = [
        {
            "figure": score.figure,
            "article": score.article,
            "measured": score.measured,
            "equal": score.equal,
        }
        for score in scores
    ]
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
