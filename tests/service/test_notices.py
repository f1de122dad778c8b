"""inspection: notices by the hour and the calendar, closures and slips: given facts, then facts."""

import shutil
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import select

from contracts.inspection.commands import (
    AcknowledgeSlip,
    ExtendNotice,
    LiftClosure,
    OrderClosure,
    Reinspect,
    ReinspectClosure,
)
from contracts.inspection.events import (
    ClosureLifted,
    ClosureOrdered,
    ClosureReinspected,
    IssueFound,
    IssueRectified,
    NoticeDeadlineMoved,
    NoticeIssued,
    NoticeOverdue,
    NoticeReinspected,
    NoticeSatisfied,
    ProblemSlipIssued,
    PromptSlipIssued,
    SlipAcknowledged,
    SupervisionSlipIssued,
)
from contracts.inspection.types import Lifting
from contracts.shared import CommandSettled
from rulebook import Rulebook
from rulebook.working_days import SHANGHAI
from services.inspection.model import Slip
from services.inspection.service import Inspection
from tests.service.sayings import (
    after,
    faults,
    hour,
    only,
    refusal,
    refused,
    registered,
    reopened,
    types,
    visit,
)
from tests.unit.test_rulebook import COMMON, FENGZE

GRAVE = "opened_without_approval"


@pytest.fixture
def shop(given):
    return given(Inspection).facts(registered(premises="restaurant"))


def reinspect(notice, visit="again", *, rectified=False, **more):
    about = {"notice_id": notice.notice_id, "enterprise_id": "shop", "visit_id": visit}
    return Reinspect(**about | {"day": after(0), "rectified": rectified} | more)


def extend(notice, days, **more):
    about = {"notice_id": notice.notice_id, "enterprise_id": "shop", "due_on": after(days)}
    return ExtendNotice(**about, approver="head", reason="缺貨", **more)


def look_again(closure, visit="again", **more):
    about = {"closure_id": closure.closure_id, "enterprise_id": "shop", "visit_id": visit}
    return ReinspectClosure(**about | {"day": after(0)} | more)


def lift(closure, **more):
    about = {"closure_id": closure.closure_id, "enterprise_id": "shop", "reason": "已整改"}
    return LiftClosure(**about | more)


# acts from the same state (fault 3)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda n: extend(n, 5, by="A", seen_version=1), lambda n: extend(n, 6, seen_version=1)),
        (
            lambda n: reinspect(n, by="A", seen_version=1),
            lambda n: reinspect(n, "v2", rectified=True, seen_version=1),
        ),
        (
            lambda n: reinspect(n, rectified=True, by="A", seen_version=1),
            lambda n: extend(n, 6, seen_version=1),
        ),
    ],
)
def test_of_two_officers_who_act_on_one_notice_from_the_same_state_one_is_told_who_came_first(
    shop, first, second
):
    notice = only(NoticeIssued, shop.when(visit("not_cleaned")))
    assert notice.version == 1
    shop.facts(first(notice))
    problem = refusal(shop.when(second(notice)))
    assert (problem["status"], problem["type"]) == (409, "urn:bihuan:problem:changed")
    assert problem["last_change"]["by"] == "A"
    assert problem["last_change"]["at"] == "2020-02-10T01:00:00Z"


# hours and calendars


def test_a_grave_notice_lapses_at_its_hour_and_not_before(shop):
    notice = only(NoticeIssued, shop.when(visit(GRAVE)))
    assert notice.due_at == datetime(2020, 2, 11, 9, tzinfo=SHANGHAI)
    shop.at = datetime(2020, 2, 11, 8, 59, tzinfo=SHANGHAI)
    assert types(shop.when(hour(after(1), 8))) == []
    shop.at = datetime(2020, 2, 11, 9, tzinfo=SHANGHAI)
    overdue = only(NoticeOverdue, shop.when(hour(after(1), 9)))
    assert (overdue.next_due_at, overdue.addressee) == (None, "district-office")


NOTICE = """
[[notice]]
code = "2020-99"
zh = "國辦發明電〔2020〕99號"
en = "A holiday that was announced late"
holidays = [[2020-02-12, 2020-02-13]]
source = "State Council holiday notices"
from = 2020-02-11
"""


@pytest.fixture
def in_working_days(shop, tmp_path):
    """A shop of a district that counts two working days, and hears of a holiday on the 11th."""
    for folder in (COMMON, FENGZE):
        for file in folder.glob("*.toml"):
            said = file.read_text(encoding="utf-8")
            if file.name == "deadlines.toml":
                said = said.replace("days = 3", "working_days = 2")
            if file.name == "calendar.toml":
                said += NOTICE
            if (tmp_path / file.name).exists():
                said = (tmp_path / file.name).read_text(encoding="utf-8") + said
            (tmp_path / file.name).write_text(said, encoding="utf-8")
    return shop


def test_a_holiday_announced_late_moves_what_runs_in_working_days(in_working_days, tmp_path):
    shop = in_working_days
    shop.service.rulebook = district(tmp_path)
    issued = only(NoticeIssued, shop.when(visit("not_cleaned")))
    assert issued.due_on == date(2020, 2, 12)
    said = shop.on(after(1)).when(hour(after(1)))
    moved = only(NoticeDeadlineMoved, said)
    assert (moved.was_due_on, moved.due_on) == (date(2020, 2, 12), date(2020, 2, 14))
    assert moved.calendar == "2020-99"
    assert types(shop.on(after(3)).when(hour(after(3)))) == []
    assert types(shop.on(after(4)).when(hour(after(4)))) == []
    overdue = only(NoticeOverdue, shop.on(after(5)).when(hour(after(5))))
    assert overdue.due_on == date(2020, 2, 14)


def test_a_deadline_that_a_person_set_is_not_moved(in_working_days, tmp_path):
    shop = in_working_days
    shop.service.rulebook = district(tmp_path)
    issued = only(NoticeIssued, shop.when(visit("not_cleaned")))
    shop.facts(extend(issued, 3))
    assert types(shop.on(after(1)).when(hour(after(1)))) == []
    assert "notice-overdue" in types(shop.on(after(4)).when(hour(after(4))))


def district(folder):
    """Load the district whose files stand in a folder, with no others."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rulebook.book.COMMON", folder / "none")
        (folder / "none").mkdir()
        return Rulebook.load(folder)


# re-inspection (fault 7)


def test_a_reinspection_says_what_it_found_and_asks_only_for_what_is_left(shop):
    notice = only(NoticeIssued, shop.when(visit("not_cleaned")))
    first = shop.when(reinspect(notice, left=["後廚", "大堂"], remark="一半", evidence=["p1"]))
    seen = only(NoticeReinspected, first)
    assert (seen.left, seen.remark, seen.evidence) == (["後廚", "大堂"], "一半", ["p1"])
    assert faults(shop.when(reinspect(notice, "v2", left=["門口"]))) == ["left/0"]
    assert only(NoticeReinspected, shop.when(reinspect(notice, "v3", left=["大堂"]))).left == [
        "大堂"
    ]
    assert only(NoticeSatisfied, shop.when(reinspect(notice, "v4", rectified=True)))


def test_an_extension_is_given_so_often_and_no_more(shop):
    notice = only(NoticeIssued, shop.when(visit("not_cleaned")))
    assert faults(shop.when(extend(notice, 4, by="head"))) == ["approver"]
    shop.facts(extend(notice, 4), extend(notice, 5))
    assert refused(shop.when(extend(notice, 6))) == (409, "extended-too-often")


# closures


def test_a_closure_is_lifted_when_a_reinspection_finds_nothing_standing(shop):
    said = shop.when(visit(GRAVE, "not_cleaned"))
    closure = only(ClosureOrdered, said)
    issues = [fact.issue_id for fact in said if isinstance(fact, IssueFound)]
    assert refused(shop.when(lift(closure))) == (409, "not-reinspected")
    assert faults(shop.when(look_again(closure, standing=["?"], day=after(-1)))) == [
        "standing/0",
        "day",
    ]
    half = shop.when(look_again(closure, standing=issues[1:]))
    assert not only(ClosureReinspected, half).clean
    assert only(IssueRectified, half).issue_id == issues[0]
    assert only(NoticeSatisfied, half).issue_id == issues[0]
    assert refused(shop.when(lift(closure))) == (409, "not-reinspected")
    shop.facts(look_again(closure, "third"))
    lifted = only(ClosureLifted, shop.when(lift(closure)))
    assert (lifted.ground, lifted.visit_id) == (Lifting.REINSPECTION, "third")


def test_what_is_found_after_the_reinspection_stands_against_lifting(shop):
    closure = only(ClosureOrdered, shop.when(visit(GRAVE)))
    shop.facts(look_again(closure), visit("not_cleaned", visit="later"))
    problem = refusal(shop.when(lift(closure)))
    assert (problem["status"], len(problem["issues"])) == (409, 1)
    lifted = only(ClosureLifted, shop.when(lift(closure, approver="head")))
    assert (lifted.ground, lifted.approver) == (Lifting.EXCEPTION, "head")


def test_who_orders_a_closure_is_told_its_number(shop):
    asked = OrderClosure(closure_id="c", enterprise_id="shop", reason="擅自營業")
    said = shop.when(asked)
    assert only(ClosureOrdered, said).number == "豐停〔2020〕0001號"
    assert only(CommandSettled, said).result["number"] == "豐停〔2020〕0001號"


# slips


def test_each_of_the_four_slips_is_a_letter_with_its_number_in_both_languages(shop):
    prompt = only(PromptSlipIssued, shop.when(reopened(premises="restaurant")))
    assert prompt.text.zh.splitlines()[:3] == ["豐提〔2020〕0001號", "提示單", "泉秀一號店："]
    said = shop.when(visit("dine_in"))
    problem, notice = only(ProblemSlipIssued, said), only(NoticeIssued, said)
    assert (problem.due_on, problem.due_at) == (notice.due_on, notice.due_at)
    zh, en = problem.text.zh, problem.text.en
    assert "1. 堂食（依據：泉州市豐澤區復工復產報道" in zh
    assert "期限：2020-02-13前" in zh
    assert "It is to be done by 2020-02-13." in en
    assert "豐澤區復工復產執法檢查組，2020-02-10" in zh
    slip = only(SupervisionSlipIssued, shop.on(after(4)).when(hour(after(4))))
    assert notice.number in slip.text.zh
    assert slip.text.en.splitlines()[2] == "To Grid office of Quanxiu Subdistrict:"


def test_a_problem_slip_names_the_day_of_the_inspection_and_its_own(shop):
    """Also where a visit is recorded days later, in another month."""
    shop.on(date(2020, 3, 2))
    said = shop.when(visit("dine_in", day=date(2020, 2, 28)))
    zh, en = (only(ProblemSlipIssued, said).text.to_data()[tongue] for tongue in ("zh", "en"))
    assert "經2020-02-28檢查" in zh
    assert "The inspection of 2020-02-28 found this" in en
    assert en.endswith(", 2020-03-02")


def test_what_was_put_on_a_slip_keeps_its_words_when_the_rules_change(shop, tmp_path):
    shop.facts(visit("dine_in"))
    folder = tmp_path / "later"
    shutil.copytree(FENGZE, folder)
    checklist = folder / "checklist.toml"
    said = checklist.read_text(encoding="utf-8").replace('"堂食"', '"室內用餐"')
    checklist.write_text(said, encoding="utf-8")
    shop.service.rulebook = Rulebook.load(folder)
    shop.facts(visit("dine_in", visit="second"))
    with shop.store.read() as session:
        first, second = session.scalars(
            select(Slip).where(Slip.kind == "problem-slip-issued").order_by(Slip.number)
        )
    assert "1. 堂食" in first.text["zh"]
    assert first.points[0]["words"]["zh"] == "堂食"
    assert "1. 室內用餐" in second.text["zh"]


def test_a_slip_is_acknowledged_once(shop):
    slip = only(PromptSlipIssued, shop.when(reopened(premises="restaurant")))
    asked = AcknowledgeSlip(slip_id=slip.slip_id, about="shop", by="owner")
    said = only(SlipAcknowledged, shop.when(asked))
    assert (said.acknowledged_by, said.version) == ("owner", 2)
    assert types(shop.on(after(1)).when(asked)) == [], "said again, it changes nothing"
    other = AcknowledgeSlip(slip_id=slip.slip_id, about="shop", by="clerk")
    problem = refusal(shop.when(other))
    assert (problem["status"], problem["acknowledged_by"]) == (409, "owner")


# numbers


def test_numbers_are_consecutive_for_each_kind_and_begin_anew_with_the_year(shop):
    said = shop.when(visit("dine_in", "not_cleaned"))
    said += shop.when(visit("dine_in", visit="second"))
    numbers = [fact.number for fact in said if isinstance(fact, NoticeIssued)]
    assert numbers == [f"豐整〔2020〕000{n}號" for n in (1, 2, 3)]
    shop.at += timedelta(days=365)
    said = shop.when(visit("dine_in", visit="third", day=shop.at.date()))
    assert only(NoticeIssued, said).number == "豐整〔2021〕0001號"
