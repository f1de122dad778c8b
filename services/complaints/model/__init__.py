"""Complaints through 12315: two tracks, their clocks in working days (Order No. 20 of 2019)."""

from services.complaints.model.base import ENDED, Base, ComplaintState, NotAcceptable
from services.complaints.model.complaint import Complaint

__all__ = ["ENDED", "Base", "Complaint", "ComplaintState", "NotAcceptable"]
