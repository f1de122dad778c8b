"""The aggregates of filing by themselves: they guard, then state the fact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import uscc
from stdnum.iso7064 import mod_11_10

from chassis.errors import Rejected
from console.demo.synthetic import credit_code
from contracts.filing.commands import (
    CorrectEnterprise,
    RegisterEnterprise,
    ReportRoster,
    SubmitFiling,
)
from contracts.filing.events import (
    EnterpriseReopened,
    FilingReferred,
    FilingReturned,
    FilingSubmitted,
    RosterReported,
)
from contracts.filing.types import Decision, Kind, Size, Stock
from rulebook import Rulebook
from services.filing import model as filing
from tests.unit.sayings import DIRTY, TODAY, day, said

BOOK = Rulebook.load().on(TODAY)
MEASURES = ["masks", "disinfectant", "thermometer"]
OLD_NUMBER = "110108000000016"
RECORD = {
    "enterprise_id": "shop",
    "credit_code": "91350100M000100Y43",
    "name": "店",
    "kind": Kind.SOLE_TRADER,
    "size": Size.MICRO,
    "industry": "F5211",
    "premises": "office",
    "grid": "350503003",
}


def enterprise(**more):
    return filing.Enterprise.register(RegisterEnterprise(**RECORD | more), BOOK, TODAY)


def registered(**more):
    (fact,) = enterprise(**more).take_pending()
    return fact


def submit(shop, previous=None, identity="filing", on=TODAY, **more):
    about = {
        "filing_id": identity,
        "enterprise_id": "shop",
        "reopen_on": on,
        "headcount": 5,
        "measures": MEASURES,
        "pledge": True,
    }
    return shop.submit(SubmitFiling(**about | more), previous, BOOK, on)


def correct(shop, on=TODAY, **more):
    return shop.correct(
        CorrectEnterprise(enterprise_id="shop", reason="登記有誤", **more), BOOK, on
    )


def opened(shop, **more):
    made = submit(shop, **more)
    made.judge(shop, BOOK, TODAY)
    shop.reopen(made, TODAY)
    return made


def faults(raised):
    return [error["pointer"].removeprefix("#/") for error in raised.value.errors]


@pytest.fixture
def shop():
    made = enterprise()
    made.take_pending()
    return made


@pytest.fixture
def open_shop(shop):
    opened(shop)
    shop.take_pending()
    return shop


# codes


@pytest.mark.parametrize(
    "code",
    [
        "91350100M000100Y43",
        "91110000600037341L",
        "91440300708461136T",
        "91330000142916567N",
        "91350000158142711F",
        "91350503ARUJWX97A0",
    ],
)
def test_every_valid_code_of_the_facts_is_accepted(code):
    assert registered(credit_code=code).credit_code == code


@pytest.mark.parametrize("code", ["91350100M000100Y4Z", "91310115MA1H8R7C6D", "", "9135"])
def test_an_invalid_code_is_refused(code):
    with pytest.raises(filing.NotAcceptable) as raised:
        enterprise(credit_code=code)
    assert faults(raised) == ["credit_code"]


def test_a_code_whose_own_check_is_right_but_not_the_organisations_is_refused():
    wrong = "91350503ARUJWX97B"
    code = wrong + str(uscc.calc_check_digit(wrong))
    assert uscc.is_valid(code)
    with pytest.raises(filing.NotAcceptable, match="not acceptable") as raised:
        enterprise(credit_code=code)
    assert "GB 11714" in raised.value.errors[0]["detail"]


@given(
    st.integers(0, 99_999_999),
    st.integers(0, 16),
    st.sampled_from("0123456789ABCDEFGHJKLMNPQRTUWXY"),
)
def test_one_wrong_character_of_a_code_is_noticed(number, place, character):
    code = credit_code(number)
    wrong = code[:place] + character + code[place + 1 :]
    if wrong == code:
        assert registered(credit_code=code)
    else:
        with pytest.raises(filing.NotAcceptable):
            enterprise(credit_code=wrong)


def test_an_older_number_stands_for_a_credit_code():
    fact = registered(credit_code=None, registration_number=OLD_NUMBER)
    assert (fact.credit_code, fact.registration_number) == (None, OLD_NUMBER)


@pytest.mark.parametrize(
    "number", ["110108000000017", "1101080000000016", "11010800000001", "11010800000001X"]
)
def test_an_older_number_has_15_digits_and_a_check(number):
    with pytest.raises(filing.NotAcceptable) as raised:
        enterprise(registration_number=number)
    assert faults(raised) == ["registration_number"]


@given(st.integers(0, 10**14 - 1))
def test_every_older_number_with_its_check_digit_is_accepted(number):
    body = f"{number:014d}"
    assert registered(registration_number=body + mod_11_10.calc_check_digit(body))


def test_an_enterprise_without_any_code_is_refused():
    with pytest.raises(filing.NotAcceptable) as raised:
        enterprise(credit_code=None)
    assert faults(raised) == ["credit_code"]


# size


def test_the_size_class_follows_from_the_figures_whatever_is_stated():
    fact = registered(size=Size.LARGE, staff=12, revenue=150)
    assert (fact.size, fact.size_by, fact.branch) == ("small", "computed", "retail")
    assert fact.rules == BOOK.version


def test_a_stated_class_counts_where_a_figure_is_missing():
    fact = registered(size=Size.LARGE, staff=12)
    assert (fact.size, fact.size_by, fact.branch) == ("large", "stated", "retail")


def test_a_class_that_is_neither_stated_nor_known_names_the_missing_figures():
    with pytest.raises(filing.NotAcceptable) as raised:
        enterprise(size=None, assets=7)
    assert raised.value.errors[0]["detail"].endswith("without staff and revenue")


def test_an_industry_without_limits_states_its_class():
    fact = registered(industry="J6620", staff=12, revenue=3, assets=4)
    assert (fact.size_by, fact.branch) == ("stated", None)
    with pytest.raises(filing.NotAcceptable) as raised:
        enterprise(industry="J6620", size=None)
    assert faults(raised) == ["size"]


def test_a_registration_is_refused_with_every_fault_at_once():
    with pytest.raises(filing.NotAcceptable) as raised:
        enterprise(
            credit_code="9", registration_number="1", industry="Z1", premises="moon", grid="0"
        )
    every = ["credit_code", "registration_number", "industry", "premises", "grid"]
    assert faults(raised) == every


def test_what_is_registered_says_so_once():
    made = enterprise()
    assert said(made) == ["enterprise-registered"]
    assert said(made) == []


# corrections


def test_a_correction_states_the_whole_record_and_what_has_changed(shop):
    fact = correct(shop, name="新店", address="東湖街1號", grid="350503001")
    assert fact.changed == ["name", "grid", "address"]
    assert (fact.name, fact.premises, fact.subdistrict) == ("新店", "office", "350503001")
    assert (fact.version, shop.version, shop.name) == (2, 2, "新店")


def test_a_corrected_figure_changes_the_size_class(shop):
    assert correct(shop, staff=12, revenue=150).changed == ["size", "staff", "revenue"]
    assert (shop.size, shop.size_by) == ("small", "computed")
    assert correct(shop, revenue=99).changed == ["size", "revenue"]
    assert shop.size == "micro"


def test_a_corrected_industry_has_its_own_limits(shop):
    correct(shop, staff=12, revenue=150)
    fact = correct(shop, industry="C1810")
    assert (fact.size, fact.branch) == ("micro", "industry")


def test_a_correction_that_changes_nothing_is_refused(shop):
    with pytest.raises(filing.NothingToCorrect) as raised:
        correct(shop, name="店")
    assert raised.value.extra["version"] == 1
    assert shop.take_pending() == []


def test_a_correction_is_refused_with_every_fault_and_leaves_no_trace(shop):
    with pytest.raises(filing.NotAcceptable) as raised:
        correct(shop, name="新店", premises="moon", grid="0")
    assert faults(raised) == ["premises", "grid"]
    assert (shop.name, shop.take_pending(), shop.version) == ("店", [], 1)


def test_the_premises_stay_while_a_filing_is_live(shop):
    made = submit(shop)
    with pytest.raises(filing.FilingLive):
        correct(shop, premises="restaurant")
    made.withdraw(shop, "改期")
    assert correct(shop, premises="restaurant").changed == ["premises"]


# filings


def test_an_enterprise_reopens_with_the_headcount_of_its_filing(shop):
    opened(shop, headcount=7, out_of_province=2)
    fact = shop.take_pending()[-1]
    assert isinstance(fact, EnterpriseReopened)
    assert (fact.headcount, fact.out_of_province) == (7, 2)
    assert shop.live_filing_id is None


def test_nothing_but_an_approved_filing_opens_an_enterprise(shop):
    made = submit(shop)
    shop.reopen(made, TODAY)
    assert (shop.state, said(shop)) == ("registered", [])
    made.judge(shop, BOOK, TODAY)
    shop.reopen(made, TODAY)
    shop.reopen(made, TODAY)
    assert (shop.state, said(shop)) == ("open", ["enterprise-reopened"])


def test_a_filing_is_live_until_it_ends(shop):
    made = submit(shop)
    with pytest.raises(filing.FilingLive):
        submit(shop)
    made.send_back(shop, [DIRTY], "rule", BOOK)
    assert said(made) == ["filing-submitted", "filing-returned"]
    assert not made.is_live
    assert submit(shop, made, "second").is_live


def test_a_refused_filing_leaves_no_trace(shop):
    with pytest.raises(filing.NotAcceptable):
        submit(shop, reopen_on=day(-1))
    assert shop.live_filing_id is None
    assert said(shop) == []


def test_a_filing_may_ask_for_a_day_as_far_ahead_as_the_rulebook_says(shop):
    assert BOOK.last_day_to_ask_for(TODAY) == day(30)
    with pytest.raises(filing.NotAcceptable) as raised:
        submit(shop, reopen_on=day(31))
    assert faults(raised) == ["reopen_on"]
    assert submit(shop, reopen_on=day(30))


def test_measures_that_the_rulebook_does_not_know_are_named_by_their_place(shop):
    stock = [Stock(measure="masks", amount=1), Stock(measure="moon", amount=1)]
    with pytest.raises(filing.NotAcceptable) as raised:
        submit(shop, measures=["masks", "mask"], stock=[*stock, stock[0]])
    assert faults(raised) == ["measures/1", "stock/1/measure", "stock/2/measure"]


def test_a_filing_names_the_one_before_it_and_what_has_changed(shop):
    first = submit(shop, measures=["masks"], pledge=False)
    first.judge(shop, BOOK, TODAY)
    second = submit(shop, first, "second", measures=MEASURES[::-1], pledge=True)
    (fact,) = (one for one in second.take_pending() if isinstance(one, FilingSubmitted))
    assert (fact.follows, fact.changed) == ("filing", ["measures", "pledge"])


def test_the_order_of_the_measures_is_no_change(shop):
    first = submit(shop, measures=["masks", "disinfectant"])
    first.judge(shop, BOOK, TODAY)
    second = submit(shop, first, "second", measures=["disinfectant", "masks", "masks"])
    assert second.take_pending()[0].changed == []


def judged(shop, **more):
    made = submit(shop, **more)
    made.take_pending()
    made.judge(shop, BOOK, TODAY)
    (fact,) = made.take_pending()
    return fact


def test_a_return_names_everything_that_lacks(shop):
    fact = judged(shop, measures=["masks"], pledge=False, headcount=200)
    assert isinstance(fact, FilingReturned)
    assert [point.code for point in fact.reasons] == [
        "thermometer",
        "disinfectant",
        "isolation_room",
        "mask_stock",
        "pledge",
    ]
    assert "0 of 400" in fact.reasons[3].words.en
    assert fact.rules == BOOK.version


@pytest.mark.parametrize(
    ("headcount", "masks", "kind"),
    [
        (49, None, "filing-approved"),
        (50, None, "filing-returned"),
        (50, 99, "filing-returned"),
        (50, 100, "filing-approved"),
    ],
)
def test_a_large_staff_needs_masks_in_stock(shop, headcount, masks, kind):
    stock = [] if masks is None else [Stock(measure="masks", amount=masks)]
    assert judged(shop, headcount=headcount, stock=stock).type == kind


@pytest.mark.parametrize(
    ("staff", "strangers", "kind"),
    [
        (10, 3, "filing-approved"),
        (10, 4, "filing-referred"),
        (9, 9, "filing-approved"),
        (30, 10, "filing-referred"),
    ],
)
def test_a_large_share_from_other_provinces_goes_to_a_reviewer(shop, staff, strangers, kind):
    assert judged(shop, headcount=staff, out_of_province=strangers).type == kind


def test_a_key_project_goes_to_a_reviewer_who_reads_why():
    shop = enterprise(key_project=True)
    fact = judged(shop)
    assert isinstance(fact, FilingReferred)
    assert ([one.code for one in fact.reasons], fact.rules) == (["key_project"], BOOK.version)


@pytest.mark.parametrize(("days", "kind"), [(13, "filing-referred"), (14, "filing-approved")])
def test_who_was_closed_lately_goes_to_a_reviewer(open_shop, days, kind):
    open_shop.suspend("closure", TODAY)
    open_shop.release("closure", TODAY)
    made = submit(open_shop, identity="second", on=day(days))
    made.judge(open_shop, BOOK, day(days))
    assert said(made)[-1] == kind


def test_what_lacks_something_is_returned_before_anybody_looks_at_it():
    assert judged(enterprise(key_project=True), pledge=False).type == "filing-returned"


def test_five_small_premises_of_a_key_project_are_seen_and_then_reviewed():
    shop = enterprise(premises="restaurant", key_project=True)
    made = submit(shop)
    made.judge(shop, BOOK, TODAY)
    made.judge_after_review(shop, BOOK, TODAY)
    decided = made.decide(shop, Decision.APPROVE, [], "reviewer", BOOK)
    assert said(made)[1:] == ["onsite-review-requested", "filing-referred", "filing-approved"]
    assert decided.by == "reviewer"


def test_a_return_without_a_reason_leaves_the_filing_as_it_was(shop):
    made = submit(shop)
    with pytest.raises(filing.NotAcceptable):
        made.decide(shop, Decision.RETURN, [], "officer", BOOK)
    assert made.is_live
    assert said(made) == ["filing-submitted"]


def test_five_small_premises_that_were_seen_may_be_approved_by_hand():
    shop = enterprise(premises="restaurant")
    made = submit(shop)
    with pytest.raises(filing.MustBeSeenFirst):
        made.decide(shop, Decision.APPROVE, [], "officer", BOOK)
    made.seen_on_site = True
    made.decide(shop, Decision.APPROVE, [], "officer", BOOK)
    assert said(made)[-1] == "filing-approved"


# closures, staff, officers


def test_a_suspended_enterprise_is_released_by_its_own_closure_only(open_shop):
    open_shop.suspend("closure", TODAY)
    open_shop.release("another", TODAY)
    assert said(open_shop) == ["enterprise-suspended"]
    with pytest.raises(filing.OrderedClosed) as error:
        submit(open_shop)
    assert error.value.problem()["closure_id"] == "closure"
    open_shop.release("closure", TODAY)
    assert said(open_shop) == ["suspension-lifted"]


@given(staff=st.integers(0, 50), unfit=st.integers(0, 50), strangers=st.integers(0, 50))
def test_who_is_on_duty_is_fit_and_counted_once(staff, unfit, strangers):
    shop = enterprise()
    opened(shop)
    shop.take_pending()
    roster = ReportRoster(
        enterprise_id="shop", day=TODAY, staff=staff, unfit=unfit, out_of_province=strangers
    )
    try:
        fact = shop.report(roster, TODAY, BOOK)
    except filing.NotAcceptable:
        assert unfit > staff or strangers > staff - unfit
        assert shop.take_pending() == []
    else:
        assert isinstance(fact, RosterReported)
        assert 0 <= fact.out_of_province <= fact.on_duty == staff - unfit


def test_two_rosters_of_a_day_are_one_of_two_days_two(open_shop):
    def reported(on):
        roster = ReportRoster(enterprise_id="shop", day=on, staff=3)
        return open_shop.report(roster, day(1), BOOK).roster_id

    assert reported(TODAY) == reported(TODAY) != reported(day(1))


def test_a_change_of_officer_tells_who_it_was_and_why(open_shop):
    open_shop.assign("FZ-003-01", DIRTY, "rule", TODAY)
    fact = open_shop.assign("FZ-003-02", DIRTY, "head-1", TODAY)
    assert (fact.officer, fact.previous, fact.why, fact.by) == (
        "FZ-003-02", "FZ-003-01", DIRTY, "head-1",
    )  # fmt: skip
    assert open_shop.assign("FZ-003-02", DIRTY, "head-1", TODAY) is None


@given(st.lists(st.sampled_from("abcd"), max_size=60))
def test_officers_who_are_chosen_by_load_differ_by_one_at_the_most(given_before):
    loads = dict.fromkeys("abcd", 0)
    for _ in given_before:
        loads[filing.least_loaded("abcd", loads)] += 1
    assert max(loads.values()) - min(loads.values()) <= 1


def test_of_equally_loaded_officers_the_lowest_number_is_chosen():
    assert filing.least_loaded(["c", "b", "a"], {"a": 2, "b": 1, "c": 1}) == "b"


def test_a_refusal_tells_who_changed_the_thing_last(shop):
    with pytest.raises(Rejected) as raised:
        shop.report(ReportRoster(enterprise_id="shop", day=TODAY, staff=1), TODAY, BOOK)
    assert raised.value.extra["version"] == 1
