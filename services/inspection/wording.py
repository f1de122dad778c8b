"""The letters of the four slips: recipient, subject, points, deadline and signature.

Each is written in both languages from the catalogue's texts; its number is added above when it is
drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from contracts.shapes import Point, Words
from rulebook import Rulebook
from rulebook.chapters.inspection import Until
from services.inspection.model import Premises

PROMPT = "You have reopened. In your trade, heed these points:"
PROBLEM = "The inspection of %(day)s found this at your premises:"
SUPERVISION = "Press for this matter: %(subject)s."
FEEDBACK = "This is the result in the matter of %(subject)s."
_OPENINGS = {"prompt": PROMPT, "problem": PROBLEM, "supervision": SUPERVISION, "feedback": FEEDBACK}


def letter(
    book: Rulebook, kind: str, to: Words, subject: Words, points: Sequence[Point],
    *, today: date, found_on: date | None = None, until: Until | None = None,
) -> Words:  # fmt: skip
    """Return the letter of a slip, from its title to its signature; `found_on` is the day of the
    inspection behind a problem slip."""
    lines = [
        book.papers[kind].words,
        book.say("To %(to)s:", to=to),
        book.say(_OPENINGS[kind], **_values(kind, subject, found_on)),
        *(_numbered(n, _with_basis(book, point)) for n, point in enumerate(points, start=1)),
    ]
    if until:
        lines.append(book.say("It is to be done by %(due)s.", due=until.words))
    elif kind == "problem":
        lines.append(book.say("It was put right on the spot."))
    lines.append(book.say("%(issuer)s, %(day)s", issuer=book.issuer.words, day=today))
    return Words(zh="\n".join(one.zh for one in lines), en="\n".join(one.en for one in lines))


def addressed_to(book: Rulebook, addressee: str, premises: Premises | None) -> Words:
    """Return the recipient of a slip: the enterprise, an office of its grid, or another office."""
    if premises and addressee == "enterprise":
        return Words(zh=premises.name, en=premises.name)
    office = book.addressees[addressee].words
    grid = book.grids.get(premises.grid) if premises else None
    if grid and addressee in {"grid-office", "subdistrict-office"}:
        return book.say("%(office)s of %(grid)s", office=office, grid=grid.words)
    return office


def subject_of(book: Rulebook, premises: Premises | None, complaint_id: str | None) -> Words:
    """Return the subject of a slip to an office: a complaint, or an enterprise."""
    if complaint_id:
        return book.say("complaint %(complaint)s", complaint=complaint_id)
    return Words(zh=premises.name, en=premises.name) if premises else book.district.words


def _values(kind: str, subject: Words, found_on: date | None) -> dict[str, object]:
    values: dict[str, dict[str, object]] = {"prompt": {}, "problem": {"day": found_on}}
    return values.get(kind, {"subject": subject})


def _numbered(number: int, words: Words) -> Words:
    return Words(zh=f"{number}. {words.zh}", en=f"{number}. {words.en}")


def _with_basis(book: Rulebook, point: Point) -> Words:
    """Return a point with the source of its rule, if it has one."""
    basis = book.basis(point.code)
    if basis is None:
        return point.words
    return book.say("%(point)s (source: %(source)s)", point=point.words, source=basis)
