"""The table of routes: each declared endpoint and its function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from werkzeug.wrappers import Response

from chassis.http.responses import Route
from services.gateway import pages
from services.gateway.access.accounts import Accounts
from services.gateway.commands.endpoints import CommandEndpoints
from services.gateway.commands.rosters import Sheets
from services.gateway.components import Components
from services.gateway.event_log import endpoints as event_log
from services.gateway.exports.endpoints import Exports
from services.gateway.privacy.disclosure import Disclosures
from services.gateway.read_models import endpoints as read_models
from services.gateway.resources import (
    BATCHES,
    DISCLOSURES,
    OPERATIONS,
    POSTS,
    SHEETS,
    SUBLISTS,
    TIMELINES,
    VIEWS,
)
from services.gateway.webhooks.endpoints import Webhooks


def routes_of(parts: Components) -> Iterator[Route]:
    """Return every route of the gateway."""
    reads = parts.reads
    endpoints = CommandEndpoints(
        parts.intake, parts.clock, parts.parser, reads, wait=parts.settings.wait
    )
    sheets, exports = Sheets(endpoints), Exports(parts.exporting)
    disclosures = Disclosures(parts.person_keys, parts.local_commands, reads)
    for post in POSTS:
        yield Route("POST", post.path, partial(endpoints.single, post))
    for post in BATCHES:
        yield Route("POST", post.batch_path, partial(endpoints.batch, post))
    for sheet in SHEETS:
        yield Route("POST", sheet.path, partial(sheets.take, sheet))
    for disclosure in DISCLOSURES:
        yield Route("POST", disclosure.path, partial(disclosures.open, disclosure))
    for view in VIEWS.values():
        yield Route("GET", view.path, partial(exports.of_view, view))
        yield Route("GET", view.document_path, partial(read_models.document, reads, view))
    for timeline in TIMELINES:
        yield Route("GET", timeline.path, partial(read_models.timeline, reads, timeline))
    for sublist in SUBLISTS:
        yield Route("GET", sublist.path, partial(exports.of_thing, sublist))
    answers = _answers(parts, endpoints, exports)
    for each in OPERATIONS:
        yield Route(
            each.method,
            each.path,
            answers[each.name],
            always=each.always,
            public=each.public,
            content_policy=each.content_policy,
        )


def _answers(
    parts: Components, endpoints: CommandEndpoints, exports: Exports
) -> Mapping[str, Callable[..., Response]]:
    """Return the function that answers each operation, by its name."""
    reads = parts.reads
    hooks = Webhooks(
        parts.store, parts.feed, parts.local_commands, parts.seal, parts.dispatcher.http_client
    )
    return {
        "getExport": exports.read,
        "getExportFile": exports.file,
        "listEvents": partial(event_log.list_events, parts.feed),
        "streamEvents": partial(event_log.stream, parts.streams),
        "registerWebhook": hooks.register,
        "listWebhooks": hooks.reads.listing,
        "getWebhook": hooks.reads.one,
        "listDeliveries": hooks.reads.history,
        "rotateSecret": hooks.rotate,
        "disableWebhook": hooks.disable,
        "enableWebhook": hooks.enable,
        "redeliver": hooks.redeliver,
        "listOfficers": partial(read_models.officers, reads),
        "getChecklist": partial(read_models.rules, parts.rulebook, parts.clock.today),
        "getStatistics": partial(read_models.statistics, reads),
        "getCommand": endpoints.read,
        "listCommandRows": endpoints.read_rows,
        "setClock": endpoints.set_clock,
        "getToken": Accounts(parts.store, parts.issuer).token,
        "getOpenapi": pages.openapi_document,
        "getAsyncapi": pages.asyncapi_document,
        "getDocs": pages.file,
        "getDocsFile": pages.file,
    }
