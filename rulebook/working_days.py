"""Working days: Monday to Friday, but for the State Council's holidays and make-up days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from rulebook.entries import HolidayNotice

_ONE_DAY = timedelta(days=1)


class WorkingDays:
    """The calendar of the notices given; in years that they do not reach, Monday to Friday."""

    __slots__ = ("_off", "_worked")

    def __init__(self, notices: Iterable[HolidayNotice]) -> None:
        """Take the notices in their order: a later one overrides, as that of January 2020 did."""
        off: set[date] = set()
        worked: set[date] = set()
        for notice in notices:
            holidays = {day for span in notice.holidays for day in _days(*span)}
            off = (off | holidays).difference(notice.workdays)
            worked = (worked - holidays).union(notice.workdays)
        self._off, self._worked = frozenset(off), frozenset(worked)

    def includes(self, day: date) -> bool:
        """Tell whether a day is worked."""
        return day in self._worked or (day.weekday() < 5 and day not in self._off)

    def after(self, day: date, count: int) -> date:
        """Give the day so many working days after a day, counting from the next one."""
        if count < 0:
            raise ValueError(f"{count} working days cannot be counted forward")
        while count:
            day += _ONE_DAY
            count -= self.includes(day)
        return day

    def between(self, start: date, end: date) -> int:
        """Count the working days after `start` up to and including `end`; none if it is earlier."""
        if end <= start:
            return 0
        return sum(map(self.includes, _days(start + _ONE_DAY, end)))


def _days(first: date, last: date) -> Iterable[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))
