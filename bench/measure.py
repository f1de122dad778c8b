"""A row of the report: what was measured of ours and of a peer, round by round."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from chassis.runtime.green import Timeout

Better = Literal["more", "less"]


@dataclass
class Figure:
    """One thing that was measured, in rounds, beside a peer or beside a goal of its own.

    `goal` is what the ratio to the peer must reach, or, where there is no peer, the figure itself;
    `least` is what will do at the worst. Of what is `better` with less, a goal is an upper bound.
    What never came is infinite, is written as nothing, and reaches no goal. `series` are the points
    of a plot.
    """

    group: str
    name: str
    unit: str
    ours: Sequence[float]
    goal: float | None = None
    peer_name: str | None = None
    peer: Sequence[float] = ()
    better: Better = "more"
    least: float | None = None
    note: str = ""
    series: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's, round by round, at the median."""
        pairs = [o / p for o, p in zip(self.ours, self.peer, strict=False) if p]
        return median(pairs) if pairs else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none, or nothing was measured."""
        found = self.ratio if self.peer_name else (median(self.ours) if self.ours else None)
        if self.goal is None or found is None:
            return None
        return found >= self.goal if self.better == "more" else found <= self.goal

    def as_json(self) -> dict[str, Any]:
        """Write it as an entry of the report."""
        return {
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "ours": _rounded(median(self.ours)) if self.ours else None,
            "ours_min": _rounded(min(self.ours, default=None)),
            "ours_max": _rounded(max(self.ours, default=None)),
            "peer": _rounded(median(self.peer)) if self.peer else None,
            "peer_min": _rounded(min(self.peer, default=None)),
            "peer_max": _rounded(max(self.peer, default=None)),
            "peer_name": self.peer_name,
            "ratio": _rounded(self.ratio),
            "goal": self.goal,
            "least": self.least,
            "better": self.better,
            "met": self.met,
            "rounds": len(self.ours),
            "note": self.note,
            "series": self.series,
        }


class Late(Exception):
    """A step has not ended in time."""


def bounded(group: str, name: str, seconds: float, figures: Iterator[Figure]) -> Iterator[Figure]:
    """Return the rows of a step, which may take so long; if it fails, one that says so follows."""
    late = Late(f"not within {seconds:g} s")
    try:
        with Timeout(seconds, late):
            yield from figures
    except Exception as error:
        if isinstance(error, Late) and error is not late:
            raise  # it is the step around this one that has to end
        traceback.print_exc()
        yield Figure(group, name, "", [], note=f"It failed: {error!r}")


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which a part of the values lie (nearest rank); NaN of nothing."""
    if not values:
        return float("nan")
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))]


def _rounded(value: float | None) -> float | None:
    """Keep four figures, which is more than any of this is good for."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
