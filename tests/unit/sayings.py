"""What the tests of the models say."""

from datetime import date, timedelta

import pytest

from chassis.errors import Invalid
from contracts.shapes import Point, Words
from rulebook import Rulebook

TODAY = date(2020, 2, 10)
DIRTY = Point(code="not_cleaned", words=Words(zh="未清潔", en="Not cleaned"))
WORDS = Words(zh="好", en="Good")
WORKING = Rulebook.load().working_days_after


def day(number):
    return TODAY + timedelta(days=number)


def said(aggregate):
    """Name the facts that an aggregate has stated since it was last asked."""
    return [fact.type for fact in aggregate.take_pending()]


def told(act, *given, **more):
    """Return what a refusal says of each field."""
    with pytest.raises(Invalid) as raised:
        act(*given, **more)
    return [(error["pointer"].removeprefix("#/"), error["detail"]) for error in raised.value.errors]


def refusal(kind, act, *given, **more):
    """Return all that a refusal of that kind says."""
    with pytest.raises(kind) as raised:
        act(*given, **more)
    return raised.value.problem()
