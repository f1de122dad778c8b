"""The figures of the district: each from its own counter, and under the name that is documented."""

from services.gateway.read_models.statistics import statistics

DOCUMENTED = {
    "registered": "total above_scale below_scale sole_trader",
    "reopened": "total above_scale below_scale sole_trader",
    "on_duty": "total out_of_province",
    "filings": "submitted in_review approved returned withdrawn reopened",
    "insurance": "enterprises_covered medics_covered uncovered claims_filed claims_paid"
    " amount_paid",
    "inspection": "patrols officers_dispatched visits issues_found rectified_on_the_spot"
    " issues_open notices_issued notices_open closures_ordered closures_standing",
    "complaints": "received answered refused referred overdue penalties reopened satisfied"
    " dissatisfied",
    "slips": "prompt problem supervision feedback",
}
NAMES = [f"{group}.{name}" for group, names in DOCUMENTED.items() for name in names.split()]


def flat(figures):
    return {f"{group}.{name}": n for group, names in figures.items() for name, n in names.items()}


def test_each_figure_is_what_its_own_counter_says():
    counters = {name: number for number, name in enumerate(NAMES, start=2)}
    assert flat(statistics(counters)) == counters | {"insurance.sum_per_medic": 0}


def test_what_was_never_counted_is_0():
    assert flat(statistics({})) == dict.fromkeys([*NAMES, "insurance.sum_per_medic"], 0)


def test_the_sum_per_medic_is_the_sum_insured_shared_among_those_who_are_covered():
    counters = {"insurance.medics_covered": 1, "insurance.medics_sum_insured": 300_000}
    assert statistics(counters)["insurance"]["sum_per_medic"] == 300_000
    counters = {"insurance.medics_covered": 3, "insurance.medics_sum_insured": 1_000_001}
    assert statistics(counters)["insurance"]["sum_per_medic"] == 333_333
    assert statistics({"insurance.medics_covered": 1})["insurance"]["sum_per_medic"] == 0
