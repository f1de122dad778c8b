"""The article's figures of Fengze district, 6 March 2020, and how they are scaled and compared.

「1300多」, 「4000多」, 「580多」 and 「470多」 count as the round number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ARTICLE: dict[str, int] = {
    "reopened.above_scale": 722,
    "reopened.below_scale": 5_561,
    "reopened.sole_trader": 7_312,
    "on_duty.total": 90_887,
    "on_duty.out_of_province": 11_272,
    "insurance.enterprises_covered": 24_000,
    "insurance.medics_covered": 1_515,
    "inspection.officers_dispatched": 1_300,
    "inspection.visits": 4_000,
    "inspection.issues_found": 580,
    "inspection.rectified_on_the_spot": 470,
    "inspection.notices_issued": 127,
    "inspection.closures_ordered": 28,
    "complaints.received": 34,
    "complaints.answered": 34,
}
REOPENED = ("reopened.above_scale", "reopened.below_scale", "reopened.sole_trader")
YUAN_PER_MEDIC = 300_000

LABELS: dict[str, str] = {
    "reopened.total": "Reopened enterprises",
    "reopened.above_scale": "above-scale",
    "reopened.below_scale": "below-scale",
    "reopened.sole_trader": "sole traders",
    "on_duty.total": "Staff on duty",
    "on_duty.out_of_province": "from other provinces",
    "insurance.enterprises_covered": "Small firms covered",
    "insurance.medics_covered": "Medics covered",
    "insurance.sum_per_medic": "Yuan per medic",
    "inspection.officers_dispatched": "Officers sent out",
    "inspection.visits": "Visits to premises",
    "inspection.issues_found": "Issues found",
    "inspection.rectified_on_the_spot": "put right on the spot",
    "inspection.notices_issued": "Rectification notices",
    "inspection.closures_ordered": "Closures",
    "complaints.received": "Complaints received",
    "complaints.answered": "Complaints answered",
}
"""The name of each figure: message ids of the catalogue."""


@dataclass(frozen=True)
class Score:
    """One figure: the article's value, scaled, and the measured value."""

    figure: str
    article: int
    measured: int | None

    @property
    def equal(self) -> bool:
        """Whether both values are the same."""
        return self.article == self.measured


def scaled(scale: float) -> dict[str, int]:
    """Return the article's figures, scaled and rounded; a total is the sum of its scaled parts."""
    figures = {figure: round(value * scale) for figure, value in ARTICLE.items()}
    figures["reopened.total"] = sum(figures[figure] for figure in REOPENED)
    figures["insurance.sum_per_medic"] = (
        YUAN_PER_MEDIC if figures["insurance.medics_covered"] else 0
    )
    return {figure: figures[figure] for figure in LABELS}


def compare(scale: float, statistics: Mapping[str, Any]) -> list[Score]:
    """Return the measured values beside the article's figures."""
    scores = []
    for figure, value in scaled(scale).items():
        group, name = figure.split(".")
        scores.append(Score(figure, value, statistics.get(group, {}).get(name)))
    return scores
