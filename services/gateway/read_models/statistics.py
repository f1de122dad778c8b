"""The district's statistics, as `/v1/statistics` shows them."""

from __future__ import annotations

from typing import Any

STATISTICS: dict[str, tuple[str, ...]] = {
    "registered": ("total", "above_scale", "below_scale", "sole_trader"),
    "reopened": ("total", "above_scale", "below_scale", "sole_trader"),
    "on_duty": ("total", "out_of_province"),
    "filings": ("submitted", "in_review", "approved", "returned", "withdrawn", "reopened"),
    "insurance": (
        "enterprises_covered", "medics_covered", "uncovered",
        "claims_filed", "claims_paid", "amount_paid",
    ),
    "inspection": (
        "patrols", "officers_dispatched", "visits", "issues_found", "rectified_on_the_spot",
        "issues_open", "notices_issued", "notices_open", "closures_ordered", "closures_standing",
    ),
    "complaints": (
        "received", "answered", "refused", "referred", "overdue", "penalties", "reopened",
        "satisfied", "dissatisfied",
    ),
    "slips": ("prompt", "problem", "supervision", "feedback"),
}  # fmt: skip


def statistics(counters: dict[str, int]) -> dict[str, Any]:
    """Arrange the counters as the API shows them; an absent counter is 0."""
    made: dict[str, Any] = {
        group: {name: counters.get(f"{group}.{name}", 0) for name in names}
        for group, names in STATISTICS.items()
    }
    medics_covered = made["insurance"]["medics_covered"]
    total = counters.get("insurance.medics_sum_insured", 0)
    made["insurance"]["sum_per_medic"] = total // medics_covered if medics_covered else 0
    return made
