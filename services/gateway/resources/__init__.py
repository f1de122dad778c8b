"""Everything the gateway serves: read models and endpoints, each declared once, by service.

Routes, permissions, OpenAPI and docs/roles.md are derived from the declarations. The statistics are
those of the article: `reopened` and `on_duty` count currently open enterprises.
"""

from __future__ import annotations

from contracts.message import Event
from services.gateway.resources import (
    complaints,
    enforcement,
    filing,
    gateway,
    inspection,
    insurance,
    webhooks,
)
from services.gateway.resources.view import View

_SERVICES = (filing, inspection, enforcement, complaints, insurance)
VIEWS: dict[str, View] = {view.name: view for service in _SERVICES for view in service.VIEWS}
FED_BY: dict[type[Event], list[View]] = {}
for _view in VIEWS.values():
    for _kind in _view.changes:
        FED_BY.setdefault(_kind, []).append(_view)

POSTS = tuple(post for service in _SERVICES for post in service.POSTS)
BATCHES = tuple(post for post in POSTS if post.takes_batches)
SHEETS = filing.SHEETS
DISCLOSURES = (*complaints.DISCLOSURES, *insurance.DISCLOSURES)
TIMELINES = (filing.TIMELINE, complaints.TIMELINE)
SUBLISTS = (filing.ROSTERS,)
OPERATIONS = (*gateway.EXPORTS, *gateway.EVENTS, *webhooks.OPERATIONS, *gateway.OPERATIONS)
