"""A row of the report: the measurements of ours and of a peer, round by round."""

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
    """One measurement, in rounds, compared with a peer or with a goal of its own.

    `goal` is the target of the ratio to the peer or, without a peer, of the figure itself; `least`
    is the minimum acceptable. If less is `better`, a goal is an upper bound. A missing result is
    infinite, is written as null, and reaches no goal. `series` are the points of a plot.
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
        """The median of the rounds' ratios of ours to the peer's."""
        pairs = [o / p for o, p in zip(self.ours, self.peer, strict=False) if p]
        return median(pairs) if pairs else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal or a measurement."""
        found = self.ratio if self.peer_name else (median(self.ours) if self.ours else None)
        if self.goal is None or found is None:
            return None
        return found >= self.goal if self.better == "more" else found <= self.goal

    def as_json(self) -> dict[str, Any]:
        """Return it as an entry of the report."""
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
    """A step has timed out."""


def bounded(group: str, name: str, seconds: float, figures: Iterator[Figure]) -> Iterator[Figure]:
    """Yield the rows of a step with a time limit; if it fails, a row with the error follows."""
    late = Late(f"not within {seconds:g} s")
    try:
        with Timeout(seconds, late):
            yield from figures
    except Exception as error:
        if isinstance(error, Late) and error is not late:
            raise  # the surrounding step has timed out
        traceback.print_exc()
        yield Figure(group, name, "", [], note=f"It failed: {error!r}")


def percentile(values: Sequence[float], part: float) -> float:
    """Return a percentile of the values (nearest rank); NaN without values."""
    if not values:
        return float("nan")
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))]


def _rounded(value: float | None) -> float | None:
    """Round to four significant figures, which is more than the precision of any measurement."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
