"""The aggregates of filing: enterprises, reopening filings, rosters and liaison officers."""

from services.filing.model.base import (
    AlreadyOpen,
    Base,
    CodeTaken,
    EnterpriseState,
    FilingFinished,
    FilingLive,
    MustBeSeenFirst,
    NotAcceptable,
    NothingToCorrect,
    NotOpen,
    OrderedClosed,
)
from services.filing.model.enterprises import Enterprise
from services.filing.model.filings import LIVE, Filing, FilingState
from services.filing.model.liaison import Officer, least_loaded
from services.filing.model.rosters import Judged, judge

__all__ = [
    "LIVE",
    "AlreadyOpen",
    "Base",
    "CodeTaken",
    "Enterprise",
    "EnterpriseState",
    "Filing",
    "FilingFinished",
    "FilingLive",
    "FilingState",
    "Judged",
    "MustBeSeenFirst",
    "NotAcceptable",
    "NotOpen",
    "NothingToCorrect",
    "Officer",
    "OrderedClosed",
    "judge",
    "least_loaded",
]
