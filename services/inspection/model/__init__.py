"""The aggregates of inspection: patrols, visits, issues, notices, closures and slips."""

from services.inspection.model.base import Base, NotAcceptable, Premises
from services.inspection.model.closures import AlreadyClosed, AlreadyLifted, Closure, NotReinspected
from services.inspection.model.notices import (
    AlreadyRectified,
    ExtendedTooOften,
    Issue,
    IssueState,
    Notice,
    NoticeSettled,
    NoticeState,
)
from services.inspection.model.papers import Moment, Series
from services.inspection.model.plans import PatrolPlan
from services.inspection.model.slips import AlreadyAcknowledged, Slip
from services.inspection.model.visits import (
    AlreadyGiven,
    AlreadyRecorded,
    AlreadySigned,
    Cancelled,
    ClientIdReused,
    NotJoint,
    NotRecorded,
    Patrol,
    StillAwaited,
    Visit,
    VisitState,
)

__all__ = [
    "AlreadyAcknowledged",
    "AlreadyClosed",
    "AlreadyGiven",
    "AlreadyLifted",
    "AlreadyRecorded",
    "AlreadyRectified",
    "AlreadySigned",
    "Base",
    "Cancelled",
    "ClientIdReused",
    "Closure",
    "ExtendedTooOften",
    "Issue",
    "IssueState",
    "Moment",
    "NotAcceptable",
    "NotJoint",
    "NotRecorded",
    "NotReinspected",
    "Notice",
    "NoticeSettled",
    "NoticeState",
    "Patrol",
    "PatrolPlan",
    "Premises",
    "Series",
    "Slip",
    "StillAwaited",
    "Visit",
    "VisitState",
]
