"""The subject and the origin of a complaint: revisions, the enterprise, duplicates."""

from __future__ import annotations

from datetime import date

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.errors import at
from contracts.complaints import (
    ComplaintMatched,
    ComplaintRevised,
    ComplaintUnmatched,
    DuplicateLinked,
    DuplicateUnlinked,
    FileComplaint,
    LinkDuplicate,
    MatchComplaint,
    UnlinkDuplicate,
    UnmatchComplaint,
)
from contracts.shapes import Id
from rulebook import Rulebook
from services.complaints.model import base
from services.complaints.model.clock import Timed


class Identified(Timed):
    """Mixin of the complaint: its subject, and its links to others."""

    outside_number: Mapped[str | None] = mapped_column(String(64))
    revision: Mapped[int]
    against: Mapped[str] = mapped_column(Text)
    matchings: Mapped[int]
    """The number of times that a person has matched it to an enterprise."""
    main_id: Mapped[str | None] = mapped_column(String(64))
    """The main complaint that answers this one."""
    content: Mapped[str]
    is_named: Mapped[bool]

    @property
    def has_ended(self) -> bool:
        """Whether the complaint has ended."""
        raise NotImplementedError

    def must_not_have_ended(self) -> None:
        """Raise an error if the complaint has ended."""
        raise NotImplementedError

    # -- revisions

    def says_the_same(self, command: FileComplaint) -> bool:
        """Return whether a revision repeats the record; sealed data cannot be compared."""
        return (self.track, self.content) == (command.track, command.content) and (
            self.against == command.against and command.enterprise_id in (None, self.enterprise_id)
        )

    def revise(self, command: FileComplaint, today: date) -> ComplaintRevised | None:
        """Apply a newer revision. An older or identical one changes nothing; a different one with
        the same number is rejected, so that nothing is lost."""
        if command.revision < self.revision:
            return None
        if command.revision == self.revision:
            if not self.says_the_same(command):
                raise self.conflict(base.RevisionDiffers, revision=self.revision)
            return None
        self.must_not_have_ended()
        if command.track != self.track:
            what = f"is not that of the revisions before, {self.track}"
            raise base.NotAcceptable(errors=[at("track", what)])
        if command.enterprise_id and self.enterprise_id not in (None, command.enterprise_id):
            raise self.conflict(base.AlreadyMatched, enterprise_id=self.enterprise_id)
        self.revision, self.content = command.revision, command.content
        self.against = command.against or self.against
        self.is_named = self.is_named or command.caller is not None
        return self.record(
            ComplaintRevised.echo(
                command,
                against=self.against,
                enterprise_id=Id(self.enterprise_id) if self.enterprise_id else None,
                revised_on=today,
            )
        )

    # -- the enterprise

    def match(self, command: MatchComplaint, today: date) -> ComplaintMatched:
        """Record which enterprise on record the described one is."""
        self.must_not_have_ended()
        if self.enterprise_id is not None:
            raise self.conflict(base.AlreadyMatched, enterprise_id=self.enterprise_id)
        self.enterprise_id = command.enterprise_id
        self.matchings += 1
        return self.record(
            ComplaintMatched.echo(command, matching=self.matchings, matched_on=today)
        )

    def unmatch(self, command: UnmatchComplaint, today: date) -> ComplaintUnmatched:
        """Undo a wrong match, unless the complaint was answered by a check there."""
        self.must_not_have_ended()
        if self.enterprise_id is None:
            raise self.conflict(base.NotMatched)
        wrong, self.enterprise_id = self.enterprise_id, None
        return self.record(
            ComplaintUnmatched.echo(
                command, enterprise_id=Id(wrong), matching=self.matchings, unmatched_on=today
            )
        )

    # -- duplicates

    def link(
        self, command: LinkDuplicate, main: Identified, today: date, *, has_duplicates: bool
    ) -> DuplicateLinked:
        """Link the complaint to the main one: its own clock is paused, and the main one's counts.

        Links form no chains: a main complaint has no link, and a linked one has no duplicates.
        """
        self.must_be_acted_on()
        if main.id == self.id:
            raise base.NotAcceptable(errors=[at("main_id", "is the complaint itself")])
        if has_duplicates:
            raise self.conflict(base.HasDuplicates)
        if main.main_id is not None:
            raise main.conflict(base.MainIsDuplicate, main_id=main.main_id)
        if main.has_ended:
            raise main.conflict(base.MainHasEnded)
        self.main_id = main.id
        self.stand(today)
        return self.record(DuplicateLinked.echo(command, linked_on=today))

    def unlink(self, command: UnlinkDuplicate, book: Rulebook, today: date) -> DuplicateUnlinked:
        """Unlink the complaint; the days while it was linked do not count."""
        self.must_not_have_ended()
        if self.main_id is None or self.main_id != command.main_id:
            raise self.conflict(base.NotDuplicate, main_id=self.main_id)
        self.main_id = None
        self.run_on(book, today)
        return self.record(
            DuplicateUnlinked.echo(command, unlinked_on=today, counting=self.counting(book))
        )
