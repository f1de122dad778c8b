"""A roster person by person: who is fit, who is not and why, and whose row cannot be."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.filing import ReportRosterLines, RosterLine, RowFault, UnreadLine
from rulebook import Rulebook
from services.filing.model import judge
from tests.unit.sayings import TODAY, day

BOOK = Rulebook.load().on(TODAY)
WUHAN, FUZHOU, GUANGZHOU = "420106", "350102", "440103"


def line(row=1, **more):
    return RosterLine(**{"row": row, "worker_ref": f"worker-{row}", "home": FUZHOU} | more)


def judged(*lines, on=TODAY, unread=(), book=BOOK):
    asked = ReportRosterLines(enterprise_id="shop", day=on, lines=[*lines], unread=[*unread])
    return judge(asked, book)


def reasons(one, **more):
    (row,) = judged(one, **more).rows
    return [reason["code"] for reason in row.get("reasons", ())]


@pytest.mark.parametrize(
    ("days", "expected"), [(0, ["quarantine"]), (13, ["quarantine"]), (14, []), (20, [])]
)
def test_an_arrival_from_a_listed_area_is_in_quarantine_for_fourteen_days(days, expected):
    arrival = line(arrived_on=TODAY, arrived_from=WUHAN)
    assert reasons(arrival, on=day(days)) == expected


def test_an_arrival_from_elsewhere_works_at_once():
    assert reasons(line(arrived_on=TODAY, arrived_from=GUANGZHOU)) == []


def test_the_reason_names_the_day_and_the_area_in_both_languages():
    (row,) = judged(line(arrived_on=TODAY, arrived_from=WUHAN)).rows
    words = row["reasons"][0]["words"]
    assert words["en"] == "In quarantine until 2020-02-24: arrived from Hubei on 2020-02-10."
    assert "湖北省" in words["zh"]


class Delisted:
    """A rulebook that takes an area off its list on 20 February 2020."""

    def __getattr__(self, name):
        return getattr(BOOK, name)

    def on(self, on):
        return BOOK if on < date(2020, 2, 20) else Nowhere()


class Nowhere:
    """An edition that lists no area."""

    def quarantined_until(self, _area, _on):
        return None


def test_an_area_that_is_taken_off_the_list_frees_nobody_who_came_before():
    before = line(arrived_on=day(8), arrived_from=WUHAN)
    after = line(arrived_on=day(10), arrived_from=WUHAN)
    assert reasons(before, on=day(12), book=Delisted()) == ["quarantine"]
    assert reasons(after, on=day(12), book=Delisted()) == []


@pytest.mark.parametrize(("tenths", "expected"), [(372, []), (373, ["fever"]), (400, ["fever"])])
def test_a_temperature_from_37_3_on_is_no_day_for_work(tenths, expected):
    assert reasons(line(temperature=tenths)) == expected


def test_every_reason_is_told_at_once():
    ill = line(arrived_on=TODAY, arrived_from=WUHAN, temperature=390, unwell=True)
    assert reasons(ill) == ["quarantine", "fever", "unwell"]


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"home": "35"}, ["home"]),
        ({"arrived_from": "Wuhan", "arrived_on": TODAY}, ["arrived_from"]),
        ({"arrived_from": WUHAN}, ["arrived_on"]),
        ({"arrived_on": TODAY}, ["arrived_from"]),
        ({"arrived_from": WUHAN, "arrived_on": day(1)}, ["arrived_on"]),
        ({"home": "x", "arrived_on": day(1)}, ["home", "arrived_on", "arrived_from"]),
    ],
)
def test_a_row_that_cannot_be_is_not_read_and_says_why(wrong, fields):
    came = judged(line(**wrong), line(2))
    assert [error["pointer"] for error in came.rows[0]["errors"]] == [f"#/{f}" for f in fields]
    assert came.counts == {
        "staff": 2, "on_duty": 1, "out_of_province": 0, "unfit": 0, "unread": 1,
    }  # fmt: skip


def test_nobody_stands_on_a_roster_twice():
    came = judged(line(1), line(2, worker_ref="worker-1"))
    assert came.rows[1]["errors"] == [{"pointer": "#/worker", "detail": "is already on row 1"}]
    assert came.counts["on_duty"] == 1


def test_rows_that_the_edge_could_not_read_are_told_in_their_place():
    fault = RowFault(pointer="#/home", detail="Missing data for required field.")
    came = judged(line(1), line(3), unread=[UnreadLine(row=2, errors=[fault])])
    assert [(row["row"], row["state"]) for row in came.rows] == [
        (1, "on_duty"),
        (2, "unread"),
        (3, "on_duty"),
    ]


def test_who_is_of_another_province_counts_only_on_duty():
    came = judged(line(1, home=GUANGZHOU), line(2, home=GUANGZHOU, unwell=True), line(3))
    assert (came.counts["out_of_province"], came.counts["on_duty"]) == (1, 2)


people = st.builds(
    line,
    row=st.integers(1, 30),
    worker_ref=st.sampled_from([f"w{n}" for n in range(8)]),
    home=st.sampled_from([FUZHOU, GUANGZHOU, "?"]),
    arrived_on=st.none() | st.integers(-20, 2).map(day),
    arrived_from=st.none() | st.sampled_from([WUHAN, GUANGZHOU]),
    temperature=st.none() | st.integers(300, 450),
    unwell=st.booleans(),
)


@given(st.lists(people, unique_by=lambda one: one.row))
def test_every_row_is_counted_once_and_who_is_on_duty_is_fit(lines):
    came = judged(*lines)
    counts = came.counts
    assert counts["staff"] == len(lines) == counts["on_duty"] + counts["unfit"] + counts["unread"]
    assert 0 <= counts["out_of_province"] <= counts["on_duty"]
    assert [row["row"] for row in came.rows] == sorted(one.row for one in lines)
    for row in came.rows:
        assert ("reasons" in row) is (row["state"] == "not_on_duty")
        assert ("errors" in row) is (row["state"] == "unread")
