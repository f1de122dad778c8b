"""What people read when filing refuses: each sentence, at the field that it is about."""

import pytest
from stdnum.cn import uscc

from chassis.ids import derived_id
from contracts.filing.commands import ReportRoster
from contracts.filing.types import Decision, RowFault, Size, Stock, UnreadLine
from services.filing import model as filing
from services.filing.model import least_loaded
from tests.unit.sayings import DIRTY, TODAY, day, refusal, told
from tests.unit.test_filing_model import BOOK, OLD_NUMBER, correct, enterprise, opened, submit
from tests.unit.test_roster_model import FUZHOU, GUANGZHOU, judged, line

TWICE = [Stock(measure="masks", amount=9), Stock(measure="masks", amount=9)]
OTHER = [Stock(measure="incense", amount=9)]
NO_ORGANISATION = "contains an organisation code with a wrong check character (GB 11714-1997)"
LAST_DAY = BOOK.last_day_to_ask_for(TODAY)


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


def wrong_organisation():
    begins = "91350503ARUJWX97B"
    return begins + str(uscc.calc_check_digit(begins))


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"credit_code": " 91350100m000100y43"}, "credit_code",
         "must be 18 capital letters and digits"),
        ({"credit_code": "91350100M000100Y4Z"}, "credit_code",
         "is not a credit code (GB 32100-2015): The number has an invalid format."),
        ({"credit_code": wrong_organisation()}, "credit_code",
         f"{NO_ORGANISATION}, and is no exception in the rulebook"),
        ({"credit_code": None}, "credit_code", "is needed, or a registration_number"),
        ({"registration_number": "1234"}, "registration_number",
         "is not a registration number of 15 digits"),
        ({"registration_number": OLD_NUMBER[:-1] + "7"}, "registration_number",
         "has a wrong check digit (GS 15-2006)"),
        ({"premises": "castle"}, "premises", "is not a kind of premises in the rulebook"),
        ({"grid": "350503999"}, "grid", "is not a grid of the district"),
        ({"industry": "Z9999"}, "industry", "is not in GB/T 4754-2017"),
        ({"industry": "J6621", "size": None}, "size",
         "is needed: the limits of MIIT 2011-300 do not reach this industry"),
    ],
)  # fmt: skip
def test_the_registry_says_what_cannot_stand_in_it(given, field, says):
    assert told(enterprise, **given) == [(field, says)]


def test_the_code_that_is_missing_is_said_first():
    faults = told(enterprise, credit_code=None, grid="350503999", premises="castle")
    assert [field for field, _ in faults] == ["credit_code", "premises", "grid"]


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"reopen_on": day(-1)}, "reopen_on", f"lies before today, {TODAY}"),
        ({"reopen_on": LAST_DAY.replace(year=LAST_DAY.year + 1)}, "reopen_on",
         f"is too far ahead: the last possible day is {LAST_DAY}"),
        ({"out_of_province": 6}, "out_of_province", "exceeds the headcount, 5"),
        ({"measures": ["masks", "incense"]}, "measures/1", "is not a measure in the rulebook"),
        ({"stock": TWICE}, "stock/1/measure", "is repeated"),
        ({"stock": OTHER}, "stock/0/measure", "is not a measure in the rulebook"),
    ],
)  # fmt: skip
def test_a_filing_is_told_what_no_filing_can_say(shop, given, field, says):
    assert told(submit, shop, **given) == [(field, says)]
    assert shop.live_filing_id is None


def test_a_filing_that_is_returned_says_what_is_missing_in_words(shop):
    made = submit(shop, measures=[], pledge=False, stock=[])
    made.judge(shop, BOOK, TODAY)
    words = {point.code: point.words.en for point in made.take_pending()[-1].reasons}
    assert words["masks"] == f"Measure missing: {BOOK.measures['masks'].words.en}"
    assert words["pledge"] == "The pledge was not given."


def test_a_filing_that_has_just_come_in_was_not_seen(shop):
    assert submit(shop).seen_on_site is False


def test_a_decision_is_told_why_it_is_none(shop):
    made = submit(shop)
    decide = made.decide
    assert told(decide, shop, Decision.RETURN, [], "head-1", BOOK) == [
        ("reasons", "a return needs at least one reason")
    ]
    decide(shop, Decision.APPROVE, [], "head-1", BOOK)
    again = refusal(filing.FilingFinished, decide, shop, Decision.APPROVE, [], "head-2", BOOK)
    assert again["detail"] == "The filing is already approved."
    decide(shop, Decision.RETURN, [DIRTY], "head-1", BOOK)
    over = refusal(filing.FilingFinished, made.withdraw, shop, "不開了")
    assert (over["detail"], over["state"]) == ("The filing is returned.", "returned")


def test_premises_are_not_exchanged_under_a_live_filing_which_is_named(shop):
    made = submit(shop)
    refused = refusal(filing.FilingLive, correct, shop, premises="shop")
    assert refused["filing_id"] == made.id


# the size class after a correction


def test_a_correction_without_figures_takes_the_size_that_it_states(shop):
    fact = correct(shop, size=Size.SMALL)
    assert (fact.size, fact.size_by, shop.size) == ("small", "stated", "small")


def test_a_correction_that_names_no_size_leaves_the_stated_one(shop):
    fact = correct(shop, industry="H6210")
    assert (fact.size, fact.size_by) == ("micro", "stated")


def test_a_correction_of_a_name_looks_at_no_size(shop, monkeypatch):
    monkeypatch.setattr(type(shop), "_sized", lambda *_: pytest.fail("nothing asks for it"))
    assert correct(shop, name="新店").changed == ["name"]


def test_a_correction_with_a_fault_is_told_of_that_alone(shop):
    assert told(correct, shop, industry="Z9999", size=Size.SMALL) == [
        ("industry", "is not in GB/T 4754-2017")
    ]


def test_a_grid_that_the_rulebook_no_longer_knows_has_no_subdistrict(shop):
    shop.grid = "350503999"
    assert correct(shop, name="新店").subdistrict is None


# rosters


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"unfit": 6}, "unfit", "exceeds the staff, 5"),
        ({"out_of_province": 5, "unfit": 1}, "out_of_province", "exceeds the staff on duty"),
        ({"day": day(1)}, "day", f"lies after today, {TODAY}"),
    ],
)
def test_a_roster_is_told_what_it_cannot_say(open_shop, given, field, says):
    asked = {"day": TODAY, "staff": 5, "out_of_province": 0, "unfit": 0} | given
    roster = ReportRoster(enterprise_id="shop", **asked)
    assert told(open_shop.report, roster, TODAY, BOOK) == [(field, says)]


def test_a_roster_by_line_adds_up_and_keeps_to_the_order_of_days(open_shop):
    lines = judged(line(1), line(2, home=GUANGZHOU), line(3, unwell=True), on=day(1))
    fact = open_shop.report_lines(day(1), lines, day(1), BOOK)
    assert (fact.staff, fact.on_duty, fact.out_of_province, fact.unfit) == (3, 2, 1, 1)
    assert (fact.day, fact.rules) == (day(1), BOOK.version)
    assert fact.roster_id == derived_id("roster", "shop", day(1))
    late = told(open_shop.report_lines, TODAY, judged(line()), day(1), BOOK)
    assert late == [("day", f"lies before the last roster, of {day(1)}")]
    early = told(open_shop.report_lines, day(3), judged(line()), day(2), BOOK)
    assert early == [("day", f"lies after today, {day(2)}")]


def test_a_roster_by_line_of_an_enterprise_that_is_closed_is_refused(shop):
    with pytest.raises(filing.NotOpen):
        shop.report_lines(TODAY, judged(line()), TODAY, BOOK)


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"home": "35"}, "home", "is not a division code of 6 digits"),
        ({"arrived_from": "42", "arrived_on": TODAY}, "arrived_from",
         "is not a division code of 6 digits"),
        ({"arrived_from": FUZHOU, "arrived_on": day(1)}, "arrived_on",
         f"lies after the day of the roster, {TODAY}"),
        ({"arrived_from": FUZHOU}, "arrived_on", "is needed with arrived_from"),
        ({"arrived_on": TODAY}, "arrived_from", "is needed with arrived_on"),
    ],
)  # fmt: skip
def test_a_row_is_told_what_it_cannot_say(given, field, says):
    (row,) = judged(line(**given)).rows
    assert row == {
        "row": 1,
        "state": "unread",
        "errors": [{"pointer": f"#/{field}", "detail": says}],
    }


def test_a_row_that_could_not_be_read_keeps_what_was_said_of_it():
    fault = RowFault(pointer="#/home", detail="Missing data for required field.")
    (row,) = judged(unread=[UnreadLine(row=1, errors=[fault])]).rows
    assert row["errors"] == [{"pointer": "#/home", "detail": "Missing data for required field."}]


def test_a_fever_is_told_in_degrees():
    (row,) = judged(line(temperature=386)).rows
    limit = BOOK.fever.tenths / 10
    said = f"Temperature 38.6 °C; from {limit} °C on nobody is on duty."
    assert row["reasons"][0]["words"]["en"] == said


# liaison officers


def test_who_has_no_enterprise_yet_has_the_fewest():
    assert least_loaded(["FZ-003-01", "FZ-003-02"], {"FZ-003-01": 1}) == "FZ-003-02"
    assert least_loaded(["FZ-003-02", "FZ-003-01"], {}) == "FZ-003-01"


def test_of_the_figures_only_those_that_are_missing_are_asked_for():
    asked = {"size": None, "staff": 5, "revenue": None}
    assert told(enterprise, **asked) == [
        ("size", "is needed, since it cannot be computed without revenue")
    ]


def test_a_stock_that_is_too_low_is_told_by_its_name(shop):
    made = submit(shop, headcount=50, stock=[Stock(measure="masks", amount=1)])
    made.judge(shop, BOOK, TODAY)
    stocked = BOOK.measures_for(shop.premises, shop.industry, 50)
    one = next(each for each in stocked if each.measure == "masks" and each.per_head)
    needed, name = one.per_head * 50, one.words.en
    words = [point.words.en for point in made.take_pending()[-1].reasons]
    assert f"Stock too low: {name} (1 of {needed})" in words


def test_what_was_closed_lately_is_left_to_a_reviewer_after_its_review_too():
    small = enterprise(premises="restaurant")
    small.lifted_on = TODAY
    made = submit(small)
    made.judge(small, BOOK, TODAY)
    made.judge_after_review(small, BOOK, TODAY)
    assert made.take_pending()[-1].type == "filing-referred"
