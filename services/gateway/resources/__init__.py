"""What the gateway shows and takes in: which event fills which read model, what each counts, and
which command stands behind each POST.

The figures are those of the article: `reopened` and `on_duty` count enterprises that are open now.
"""

from __future__ import annotations

from contracts.complaints import ComplaintReceived, ComplaintRevised
from contracts.insurance import ClaimFiled, MedicEnrolled
from contracts.message import Event
from services.gateway.resources import complaints, filing, inspection, insurance
from services.gateway.resources.post import Opening
from services.gateway.resources.view import View

VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        filing.enterprises,
        filing.filings,
        filing.rosters,
        inspection.patrols,
        inspection.plans,
        inspection.visits,
        inspection.issues,
        inspection.notices,
        inspection.closures,
        inspection.slips,
        complaints.complaints,
        insurance.policies,
        insurance.medics,
        insurance.uncovered,
        insurance.claims,
    )
}

FED_BY: dict[type[Event], list[View]] = {}
for _view in VIEWS.values():
    for _kind in _view.changes:
        FED_BY.setdefault(_kind, []).append(_view)

POSTS = (*filing.POSTS, *inspection.POSTS, *complaints.POSTS, *insurance.POSTS)
SHEETS = filing.SHEETS
BATCHES = tuple(post for post in POSTS if post.takes_batches)


OPENINGS = (
    Opening(VIEWS["complaints"], (ComplaintReceived, ComplaintRevised), "id"),
    Opening(VIEWS["medics"], (MedicEnrolled,), "id"),
    Opening(VIEWS["claims"], (ClaimFiled,), "medic_id"),
)
