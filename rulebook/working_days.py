"""Working days: Monday to Friday, except the State Council's holidays, plus its make-up days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from rulebook.entries import Entry

_ONE_DAY = timedelta(days=1)
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
"""Days are Shanghai's, at UTC+8 without daylight saving since 1991."""


def end_of(day: date) -> datetime:
    """Return the end of a day: the following midnight in Shanghai."""
    return datetime.combine(day + _ONE_DAY, time(), SHANGHAI)


def day_of(moment: datetime) -> date:
    """Return the day of a moment in Shanghai."""
    return moment.astimezone(SHANGHAI).date()


Span = tuple[date, date]
"""A pause: from a first day up to the day before the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HolidayNotice(Entry):
    """A notice of the State Council: holidays, and weekend days that are worked."""

    holidays: tuple[tuple[date, date], ...]
    workdays: tuple[date, ...]


class WorkingDays:
    """The calendar by some notices; in years that they do not cover, Monday to Friday."""

    __slots__ = ("_off", "_worked")

    def __init__(self, notices: Iterable[HolidayNotice]) -> None:
        """Read the notices in order: a later one overrides, as that of January 2020 did."""
        off: set[date] = set()
        worked: set[date] = set()
        for notice in notices:
            holidays = {day for span in notice.holidays for day in _days(*span)}
            off = (off | holidays).difference(notice.workdays)
            worked = (worked - holidays).union(notice.workdays)
        self._off, self._worked = frozenset(off), frozenset(worked)

    def includes(self, day: date) -> bool:
        """Return whether a day is worked."""
        return day in self._worked or (day.weekday() < 5 and day not in self._off)

    def after(self, day: date, count: int, standing: Sequence[Span] = ()) -> date:
        """Return the day `count` working days after a day, counting from the next one, without the
        days of pauses."""
        if count < 0:
            raise ValueError(f"{count} days cannot be counted forward")
        while count:
            day += _ONE_DAY
            count -= self.includes(day) and not _stood(day, standing)
        return day

    def between(self, start: date, end: date) -> int:
        """Return the number of working days after `start` up to `end`; none if it is earlier."""
        if end <= start:
            return 0
        return sum(map(self.includes, _days(start + _ONE_DAY, end)))


class EveryDay(WorkingDays):
    """Calendar days, which no notice changes."""

    __slots__ = ()

    def __init__(self) -> None:
        """Read no notices."""
        super().__init__(())

    def includes(self, day: date) -> bool:
        """Return True: every day counts."""
        return True


def _stood(day: date, standing: Sequence[Span]) -> bool:
    return any(first <= day < last for first, last in standing)


def _days(first: date, last: date) -> Iterable[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))
