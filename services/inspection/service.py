"""inspection: what it listens to."""

from __future__ import annotations

from typing import ClassVar

from services.inspection.checks import ChecksComplaints
from services.inspection.closing import ClosesPremises
from services.inspection.consequences import DrawsConclusions
from services.inspection.model import Base, Closure, Issue, Notice, Premises, Slip, Visit
from services.inspection.notices import PressesNotices
from services.inspection.numbers import NumbersPapers
from services.inspection.plans import DrawsPlans
from services.inspection.premises import KnowsPremises
from services.inspection.slips import WritesSlips
from services.inspection.visits import MakesVisits


class Inspection(
    KnowsPremises,
    ChecksComplaints,
    MakesVisits,
    DrawsConclusions,
    DrawsPlans,
    WritesSlips,
    PressesNotices,
    ClosesPremises,
    NumbersPapers,
):
    """Finds what is wrong on the ground and sees it put right."""

    name = "inspection"
    metadata = Base.metadata
    preload: ClassVar[dict[str, type]] = {
        "enterprise_id": Premises,
        "visit_id": Visit,
        "issue_id": Issue,
        "notice_id": Notice,
        "closure_id": Closure,
        "slip_id": Slip,
    }
