"""The report: as JSON, as a table for people, and as docs/performance.md with its plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.plots import draw

Entry = dict[str, Any]
PAGE = "performance.md"
BY_HAND = "## Where the time goes\n"
"""The beginning of the hand-written part of the page."""
HEAD = """# Performance

What `make bench` measured on one machine, ours and the peers in turn in the same run: medians, with
the least and the most in brackets. A ratio is the median of the rounds' ratios. `python -m
bench.report bench.json` wrote this page as far as the plots. What a kill, a cut or a restart does
is not a matter of speed: `make faults` shows it, and [faults.md](faults.md) says how.
"""


def write(entries: Sequence[Entry], path: Path) -> None:
    """Write the report as JSON."""
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def show(entries: Sequence[Entry], console: Console) -> None:
    """Print the table."""
    table = Table(box=box.SIMPLE_HEAVY)
    for heading in ("What", "Ours", "Peer", "Ratio", "Goal"):
        table.add_column(heading, justify="left" if heading == "What" else "right")
    table.add_column("")
    for entry in entries:
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[entry["met"]]
        table.add_row(*cells(entry), mark)
    console.print(table)


def cells(entry: Entry) -> tuple[str, ...]:
    """Return an entry as the cells of a table."""
    what = entry["name"] + (f" | {entry['peer_name']}" if entry["peer_name"] else "")
    ratio = f"{entry['ratio']:.2f}" if entry["ratio"] is not None else ""
    ours = f"{_span(entry, 'ours')} {entry['unit']}"
    if entry["ours"] is None:
        ours = "never" if entry["rounds"] else "failed"
    return what, ours, _span(entry, "peer"), ratio, _goal(entry)


def _span(entry: Entry, whose: str) -> str:
    if entry[whose] is None:
        return ""
    least, most = entry[f"{whose}_min"], entry[f"{whose}_max"]
    span = f" [{least:,g}–{most:,g}]" if least != most else ""
    return f"{entry[whose]:,g}{span}"


def _goal(entry: Entry) -> str:
    if entry["goal"] is None:
        return ""
    sign = "≥" if entry["better"] == "more" else "≤"
    unit = "×" if entry["peer_name"] else f" {entry['unit']}"
    word = "least" if entry["better"] == "more" else "most"
    least = f" (at the {word} {entry['least']:g})" if entry["least"] is not None else ""
    return f"{sign} {entry['goal']:g}{unit}{least}"


def document(entries: Sequence[Entry], folder: Path) -> None:
    """Write docs/performance.md, and the plots beside it; the hand-written part stays."""
    before = (folder / PAGE).read_text(encoding="utf-8") if (folder / PAGE).exists() else ""
    by_hand = f"{BY_HAND}{before.partition(BY_HAND)[2]}" if BY_HAND in before else ""
    lines = [HEAD, _of_the_machine(entries[0]["machine"] if entries else {}), ""]
    lines += ["| what | ours | peer | ratio | goal | met |", "|---|---|---|---|---|---|"]
    for entry in entries:
        met = {True: "yes", False: "**no**", None: ""}[entry["met"]]
        told = (cell.replace(" | ", ", beside ").replace("|", "\\|") for cell in cells(entry))
        lines.append(f"| {' | '.join(told)} | {met} |")
    notes = [f"- {entry['name']}: {entry['note']}" for entry in entries if entry["note"]]
    lines += ["", *dict.fromkeys(notes), ""]
    for series in (series for entry in entries for series in entry["series"]):
        name = series["plot"].lower().replace(" ", "-").replace(",", "")
        (folder / f"performance-{name}.svg").write_text(draw(series), encoding="utf-8")
        lines += [f"![{series['plot']}](performance-{name}.svg)", ""]
    lines.append(by_hand)
    (folder / PAGE).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _of_the_machine(machine: dict[str, Any]) -> str:
    if not machine:
        return ""
    versions = ", ".join(f"{name} {number}" for name, number in machine["ours"].items())
    peers = ", ".join(f"{name} {number}" for name, number in machine["peers"].items())
    return (
        f"The machine: {machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB; "
        f"load generator, broker and database on the same cores. {machine['at']}; Python "
        f"{machine['python']}, PostgreSQL {machine['postgresql']}, RabbitMQ {machine['rabbitmq']}; "
        f"ours: {versions}; peers: {peers}."
    )


def main() -> None:
    """Rewrite the page from one or more reports: `python -m bench.report bench.json`."""
    import sys

    entries = [
        entry
        for report in sys.argv[1:]
        for entry in json.loads(Path(report).read_text(encoding="utf-8"))
    ]
    document(entries, Path(__file__).resolve().parents[1] / "docs")


if __name__ == "__main__":
    main()
