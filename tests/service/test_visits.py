"""Visits: checklists and answers, joint visits, second missions, what phones send."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

import rulebook
from contracts.complaints.events import ComplaintAnswered
from contracts.filing.events import FilingWithdrawn, OnsiteReviewRequested
from contracts.inspection.commands import CancelVisit, PlanVisit, RecordPart, ReplanVisit, SignVisit
from contracts.inspection.events import (
    ClosureOrdered,
    ComplaintChecked,
    IssueFound,
    OnsiteReviewFailed,
    OnsiteReviewPassed,
    PartRecorded,
    VisitCancelled,
    VisitPlanned,
    VisitRecorded,
    VisitReplanned,
    VisitSigned,
)
from contracts.inspection.types import Finding
from contracts.shapes import Words
from contracts.shared import CommandSettled, Outcome
from rulebook import Rulebook
from services.inspection.service import Inspection
from tests.service.sayings import (
    GRID,
    TODAY,
    after,
    complained,
    faults,
    only,
    refusal,
    refused,
    registered,
    types,
    visit,
)

BOOK = Rulebook.load()
FENGZE = Path(rulebook.__file__).parent / "fengze"
REVIEW = OnsiteReviewRequested(
    enterprise_id="shop", filing_id="filing", premises="restaurant", grid=GRID
)
GOOD = {
    "open_unseen": False,
    "gathering_seen": False,
    "guests_dining_in": 0,
    "unfit_on_duty": 0,
    "staff_temperature": 36.5,
    "masks": "all_properly",
    "disinfection_ledger": True,
    "returnees_on_duty": 0,
    "thermometers": 2,
    "mask_stock": 14,
    "disinfectant_in_stock": True,
    "cleaning": "both",
    "customers_limited": True,
    "customers_checked": True,
    "temperatures_reported": True,
    "out_of_province_reported": True,
    "purchases_checked": True,
    "prices_marked": True,
}
AGENCIES = ["health", "market", "police"]


def plan(visit="visit", shop="shop", **more):
    return PlanVisit(**{"visit_id": visit, "enterprise_id": shop, "day": TODAY} | more)


def part(agency, *findings, visit="visit", **more):
    findings = [Finding(rule=rule) for rule in findings]
    return RecordPart(
        visit_id=visit, enterprise_id="shop", agency=agency, findings=findings, **more
    )


def sign(agency, visit="visit"):
    return SignVisit(visit_id=visit, enterprise_id="shop", agency=agency, officer="A", by=agency)


def cancel(visit="visit", **more):
    return CancelVisit(visit_id=visit, enterprise_id="shop", reason="下雨", **more)


def replan(day, visit="visit"):
    return ReplanVisit(visit_id=visit, enterprise_id="shop", day=day, reason="下雨")


def found(said):
    return [fact.point.code for fact in said if isinstance(fact, IssueFound)]


@pytest.fixture
def shop(given):
    return given(Inspection).facts(registered(premises="restaurant"))


def edited(tmp_path, *changes):
    """Return Fengze's rules with a checklist that is edited ten days later."""
    folder = tmp_path / "edited"
    shutil.copytree(FENGZE, folder)
    with (folder / "checklist.toml").open("a", encoding="utf-8") as file:
        for change in changes:
            file.write(change)
    return Rulebook.load(folder)


EDIT = """
[[item]]
code = "thermometers"
zh = "體溫計"
en = "Thermometers that work, one for each ten of the staff"
answer = "count"
rule = "supplies_short"
highest = 10000
at_least = 5
source = "article"
from = 2020-02-20

[[rule]]
code = "supplies_short"
zh = "物資短缺"
en = "Out of supplies"
severity = "grave"
source = "article"
from = 2020-02-20
"""
LATER = TODAY + timedelta(days=12)


# the checklist


def test_a_complete_visit_whose_answers_all_pass_finds_nothing(shop):
    said = shop.when(visit(answers=GOOD, complete=True))
    assert types(said) == ["visit-recorded"]
    recorded = only(VisitRecorded, said)
    assert recorded.answers == GOOD
    assert recorded.checklist_version == BOOK.checklist_version


@pytest.mark.parametrize(
    ("item", "answer", "rule"),
    [
        ("open_unseen", True, "opened_without_approval"),
        ("guests_dining_in", 3, "dine_in"),
        ("staff_temperature", 37.3, "unfit_staff_on_duty"),
        ("masks", "some_without", "mask_worn_improperly"),
        ("mask_stock", 0.5, "supplies_short"),
        ("disinfection_ledger", False, "no_disinfection_ledger"),
    ],
)
def test_an_answer_that_fails_is_a_finding_against_its_rule(shop, item, answer, rule):
    assert found(shop.when(visit(answers={item: answer}))) == [rule]


@pytest.mark.parametrize(
    ("item", "answer"),
    [("staff_temperature", 37.2), ("thermometers", 1), ("mask_stock", 1), ("remarks", "整潔")],
)
def test_an_answer_at_its_limit_passes(shop, item, answer):
    assert found(shop.when(visit(answers={item: answer}))) == []


def test_a_failing_answer_is_told_in_words_with_its_unit(shop):
    (finding,) = only(VisitRecorded, shop.when(visit(answers={"staff_temperature": 38.5}))).findings
    assert "38.5攝氏度" in finding.remark


def test_two_answers_that_break_one_rule_are_one_finding(shop):
    said = shop.when(visit(answers={"thermometers": 0, "disinfectant_in_stock": False}))
    assert found(said) == ["supplies_short"]


def test_what_officers_have_named_themselves_is_not_found_twice(shop):
    named = Finding(rule="dine_in", rectified_on_the_spot=True)
    said = shop.when(visit(named, answers={"guests_dining_in": 2, "masks": "some_without"}))
    assert found(said) == ["dine_in", "mask_worn_improperly"]


def test_every_answer_that_is_none_is_told_at_once_with_what_else_is_wrong(shop):
    wrong = {
        "open_unseen": "no",
        "guests_dining_in": -1,
        "staff_temperature": 50,
        "thermometers": 1.5,
        "masks": "blue",
        "remarks": " ",
        "till_crowd": False,
        "a/b~c": 1,
    }
    said = shop.when(visit("witchcraft", answers=wrong, day=after(1), device="d"))
    assert sorted(faults(said)) == sorted(
        [f"answers/{code}" for code in wrong if code != "a/b~c"]
        + ["answers/a~1b~0c", "client_id", "day", "findings/0/rule"]
    )


@pytest.mark.parametrize("answer", [True, "36.5", None, float("nan"), float("inf"), [36.5]])
def test_a_temperature_is_a_number_and_nothing_that_resembles_one(shop, answer):
    said = shop.when(visit(answers={"staff_temperature": answer}))
    assert faults(said) == ["answers/staff_temperature"]


def test_what_is_not_answered_is_missed_only_where_the_visit_is_said_to_be_complete(shop):
    some = {code: answer for code, answer in GOOD.items() if code not in ("masks", "cleaning")}
    assert faults(shop.when(visit(answers=some, complete=True))) == [
        "answers/masks",
        "answers/cleaning",
    ]
    assert types(shop.when(visit(answers=some))) == ["visit-recorded"]


def test_a_grave_answer_closes_at_once(shop):
    assert only(ClosureOrdered, shop.when(visit(answers={"open_unseen": True})))


def test_a_checklist_edited_later_changes_nothing_that_an_old_answer_says(shop, tmp_path):
    """Fault 8: the answer pins the checklist, whose words, limits and severity stay."""
    book = shop.service.rulebook = edited(tmp_path, EDIT)
    old, new = book.on(TODAY).checklist, book.on(LATER).checklist
    assert old.version != new.version
    shop.on(LATER)
    answers = {"thermometers": 3}
    late = shop.when(visit(answers=answers, checklist_version=old.version))
    assert found(late) == [], "three were enough when it was answered"
    short = shop.when(visit(answers={"thermometers": 0}, visit="v2", day=TODAY))
    issue = only(IssueFound, short)
    assert (issue.checklist_version, issue.severity) == (old.version, "ordinary")
    assert issue.point.words.en != "Out of supplies"
    assert "closure-ordered" not in types(short)
    strict = shop.when(visit(answers=answers, visit="v3", day=LATER))
    assert only(IssueFound, strict).point.words.en == "Out of supplies"
    assert only(IssueFound, strict).checklist_version == new.version


def test_a_version_that_was_not_in_force_by_the_day_of_the_visit_is_refused(shop, tmp_path):
    book = shop.service.rulebook = edited(tmp_path, EDIT)
    new = book.on(LATER).checklist.version
    assert faults(shop.when(visit(checklist_version=new))) == ["checklist_version"]
    assert faults(shop.when(visit(checklist_version="fengze-9"))) == ["checklist_version"]
    assert types(shop.on(LATER).when(visit(checklist_version=new, day=LATER))) == ["visit-recorded"]


def test_a_comment_in_the_checklist_makes_no_new_version(tmp_path):
    assert edited(tmp_path, "\n# a note\n").checklist_version == BOOK.checklist_version


# planned, put off, given up


def test_a_planned_visit_is_put_off_and_recorded_on_its_new_day(shop):
    shop.facts(plan())
    moved = only(VisitReplanned, shop.when(replan(after(2))))
    assert (moved.day, moved.day_before) == (after(2), TODAY)
    assert only(VisitRecorded, shop.on(after(2)).when(visit(day=after(2)))).version == 3


@pytest.mark.parametrize("day", [-1, 0])
def test_a_visit_is_put_off_to_another_day_that_is_to_come(shop, day):
    assert faults(shop.facts(plan()).when(replan(after(day)))) == ["day"]


def test_a_visit_that_was_given_up_is_neither_recorded_nor_moved(shop):
    assert types(shop.facts(plan()).when(cancel(by="head"))) == ["visit-cancelled"]
    for command in (visit(), replan(after(1)), cancel(), sign("health"), part("health")):
        problem = refusal(shop.when(command))
        assert problem["type"].endswith(":cancelled")
        assert problem["last_change"]["by"] == "head"


def test_a_visit_for_which_a_filing_or_a_complaint_waits_is_put_off_and_not_given_up(shop):
    for cause in (REVIEW, complained()):
        planned = only(VisitPlanned, shop.when(cause)).visit_id
        assert refused(shop.when(cancel(planned))) == (409, "still-awaited")
        assert types(shop.when(replan(after(1), planned))) == ["visit-replanned"]


def test_a_review_is_given_up_with_the_filing_that_is_withdrawn(shop):
    withdrawn = FilingWithdrawn(enterprise_id="shop", filing_id="filing", reason="改期")
    assert only(VisitCancelled, shop.when(REVIEW, withdrawn)[1:]).visit_id
    assert shop.when(withdrawn) == []


def test_a_check_is_given_up_with_the_complaint_that_has_ended(shop):
    answered = ComplaintAnswered(
        complaint_id="complaint",
        answer=Words(zh="已處理", en="Dealt with"),
        substantiated=False,
        by="desk",
        answered_on=TODAY,
    )
    shop.facts(complained())
    assert "visit-cancelled" in types(shop.when(answered))


# who was there before


def test_two_officers_record_one_visit_and_the_second_learns_who_did_and_when(shop):
    """Fault 3: of two who act from the same state one succeeds."""
    seen = only(VisitPlanned, shop.when(plan())).version
    first, second = (visit(seen_version=seen, by=name) for name in ("officer-1", "officer-2"))
    shop.facts(first)
    for late in (second, visit("dine_in", by="officer-2")):
        problem = refusal(shop.when(late))
        assert problem["status"] == 409
        assert problem["last_change"]["by"] == "officer-1"
        assert problem["last_change"]["what"] == "visit-recorded"
        assert problem["last_change"]["at"].startswith("2020-02-10")
        assert problem["version"] == 2


def test_a_second_mission_to_the_same_premises_on_the_same_day_is_warned_of(shop):
    """Fault 6: nothing is refused, and nobody need go twice."""
    assert only(VisitPlanned, shop.when(plan("one", agencies=["health"]))).warnings == []
    (warning,) = only(VisitPlanned, shop.when(plan("two", agencies=["police"]))).warnings
    assert (warning.visit_id, warning.agencies) == ("one", ["health"])
    assert warning.code == "other-visit-planned"
    assert "2020-02-10" in warning.words.zh
    assert "2020-02-10" in warning.words.en
    shop.facts(visit(visit="one"), cancel("two"))
    (warning,) = only(VisitRecorded, shop.when(visit(visit="three"))).warnings
    assert (warning.visit_id, warning.code) == ("one", "other-visit-recorded")


def test_the_warning_comes_also_within_one_batch_and_by_putting_off(shop):
    said = shop.when(plan("one"), plan("two"), plan("far", day=after(3)), replan(TODAY, "far"))
    warned = {f.visit_id: len(f.warnings) for f in said if isinstance(f, VisitPlanned)}
    assert warned == {"one": 0, "two": 1, "far": 0}
    warnings = only(VisitReplanned, said).warnings
    assert [warning.visit_id for warning in warnings] == ["one", "two"]


def test_another_day_or_another_enterprise_is_no_second_mission(shop):
    shop.facts(registered("other"), plan("one"))
    assert only(VisitPlanned, shop.when(plan("two", day=after(1)))).warnings == []
    assert only(VisitPlanned, shop.when(plan("three", "other"))).warnings == []


# joint visits


@pytest.fixture
def joint(shop):
    """A joint visit of three agencies, recorded by the first for all."""
    return shop.facts(visit("dine_in", agencies=AGENCIES, joint=True))


def test_no_agency_that_signs_or_records_ends_the_part_of_another(joint):
    """Fault 6: one visit, each agency records and signs its own part."""
    said = joint.when(part("health", "not_cleaned"))
    assert only(PartRecorded, said).agency == "health"
    assert found(said) == ["not_cleaned"]
    assert not only(VisitSigned, joint.when(sign("health"))).complete
    assert found(joint.when(part("police", "gathering"))) == ["gathering"]
    assert not only(VisitSigned, joint.when(sign("police"))).complete
    assert only(VisitSigned, joint.when(sign("market"))).complete


def test_an_agency_records_one_part_and_none_after_it_has_signed(joint):
    joint.facts(part("health"), sign("police"))
    assert refused(joint.when(part("health", "dine_in"))) == (409, "already-given")
    assert refused(joint.when(part("police"))) == (409, "already-signed")
    assert faults(joint.when(part("fire"))) == ["agency"]


def test_the_answers_of_a_part_are_judged_as_those_of_a_visit(joint):
    wrong = part("health", "witchcraft", answers={"masks": "blue"})
    assert faults(joint.when(wrong)) == ["findings/0/rule", "answers/masks"]
    said = joint.when(part("health", answers={"masks": "some_without"}))
    assert found(said) == ["mask_worn_improperly"]
    assert only(PartRecorded, said).checklist_version == BOOK.checklist_version


def test_a_part_is_of_a_joint_visit_that_was_recorded(shop):
    shop.facts(plan(agencies=AGENCIES))
    for command in (part("health"), sign("health")):
        assert refused(shop.when(command)) == (409, "not-recorded")
    assert only(VisitRecorded, shop.when(visit())).agencies == AGENCIES
    assert refused(shop.when(part("health"))) == (409, "not-joint")


@pytest.mark.parametrize("agencies", [[], ["health"], ["health", "health"]])
def test_a_joint_visit_is_made_by_two_agencies_at_least_each_named_once(shop, agencies):
    assert faults(shop.when(plan(agencies=agencies, joint=True))) == ["agencies"]
    assert faults(shop.when(visit(agencies=agencies, joint=True))) == ["agencies"]


@pytest.mark.parametrize(("rules", "ends"), [([], OnsiteReviewPassed), (["dine_in"], None)])
def test_a_joint_review_ends_when_all_have_signed(shop, rules, ends):
    planned = only(VisitPlanned, shop.when(REVIEW)).visit_id
    shop.facts(visit(visit=planned, agencies=["health", "market"], joint=True))
    shop.facts(part("market", *rules, visit=planned))
    assert types(shop.when(sign("health", planned))) == ["visit-signed"]
    said = shop.when(sign("market", planned))
    if ends:
        assert only(ends, said).filing_id == "filing"
    else:
        assert [r.code for r in only(OnsiteReviewFailed, said).reasons] == rules


def test_a_joint_check_says_what_was_found_in_all_parts(shop):
    planned = only(VisitPlanned, shop.when(complained())).visit_id
    shop.facts(
        visit("gathering", visit=planned, agencies=["health", "market"], joint=True),
        part("health", "dine_in", visit=planned),
    )
    said = shop.when(sign("health", planned), sign("market", planned))
    checked = only(ComplaintChecked, said)
    assert [point.code for point in checked.points] == ["gathering", "dine_in"]


# what phones send


def sent(*findings, **more):
    return visit(*findings, **{"device": "phone-7", "client_id": "n-1"} | more)


def outcomes(said):
    return [fact.outcome for fact in said if isinstance(fact, CommandSettled)]


def test_what_a_phone_sends_again_is_answered_as_before_and_changes_nothing(shop):
    once = sent("dine_in", answers={"masks": "some_without"}, by="officer-1")
    first = only(VisitRecorded, shop.when(once))
    again = shop.message(once)
    (settled,) = shop.deliver(again)
    assert settled.outcome is Outcome.DONE
    assert settled.result == first.to_data()


def test_the_same_row_twice_in_one_batch_is_one_visit(shop):
    said = shop.when(sent("dine_in"), sent("dine_in"))
    assert types(said).count("visit-recorded") == 1


def test_a_phone_that_gives_a_name_to_another_visit_is_told_so(shop):
    problem = refusal(shop.facts(sent(by="officer-1")).when(sent("dine_in")))
    assert (problem["status"], problem["last_change"]["by"]) == (409, "officer-1")
    assert problem["type"].endswith(":client-id-reused")


def test_a_device_goes_with_its_name_for_the_visit(shop):
    assert faults(shop.when(visit(device="phone-7"))) == ["client_id"]
    assert faults(shop.when(visit(client_id="n-1"))) == ["device"]


def test_a_planned_visit_that_a_phone_records_is_known_again_too(shop):
    shop.facts(plan(), sent())
    (settled,) = shop.when(sent())
    assert settled.outcome is Outcome.DONE
    assert refused(shop.when(visit())) == (409, "already-recorded")
