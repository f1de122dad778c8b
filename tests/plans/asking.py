"""Asks every question of the services as they ask it themselves, and hears what SQL it becomes."""

from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from types import SimpleNamespace as Having

from sqlalchemy import event, select
from werkzeug.datastructures import MultiDict

from chassis.messaging import parked, replay
from chassis.messaging.consumer import Consumer
from chassis.messaging.outbox import Outbox
from chassis.schedule import Sweeps
from chassis.sealing import Seal
from chassis.settings import Settings
from chassis.storage import postgres
from chassis.storage.retention import DAY, Retention
from chassis.storage.tables import outbox
from chassis.storage.unit_of_work import SHANGHAI
from contracts.complaints.commands import LinkDuplicate
from contracts.complaints.events import ComplaintClosed
from contracts.filing.events import FilingWithdrawn
from contracts.inspection.commands import DrawPatrolPlan, PlanVisit
from contracts.shapes import Sealed
from rulebook import Rulebook
from services.complaints.handlers import links
from services.complaints.service import Complaints
from services.filing.handlers import liaison
from services.filing.service import Filings
from services.gateway.commands.intake import CommandIntake
from services.gateway.commands.records import Records
from services.gateway.event_log.feed import Feed, Wanted
from services.gateway.exports.jobs import Exporting, _alike, _Lost
from services.gateway.person_keys import PersonKeys
from services.gateway.privacy.disclosure import Disclosures
from services.gateway.read_models.list_query import ListQuery, Place, parse_query
from services.gateway.read_models.projection import Page
from services.gateway.read_models.queries import Reads
from services.gateway.resources import DISCLOSURES, VIEWS, columns
from services.gateway.service import OFFERED, Gateway
from services.gateway.tables import events
from services.gateway.webhooks.deliveries import KEPT, Deliveries
from services.inspection.handlers import closing
from services.inspection.handlers.plans import _at_risk, _due, _on_plans
from services.inspection.service import Inspection
from services.insurance.handlers import claims
from services.insurance.handlers.cover import on_record
from services.insurance.service import Insurance
from tests.plans.filling import ENDED, ROWS
from tests.service.sayings import enrol

TODAY = datetime(2020, 3, 6, 9, tzinfo=SHANGHAI)
KEYS = {f"enterprise_id-{n}" for n in (7, 11, 13)}


FROM = {"inspection": "2020-02-10T00:00:00Z"}
"""Where a sweep's cursor is a moment, and no day."""


class Undone(Exception):
    """Nothing of what a question may have changed is kept."""


@contextmanager
def undone(store):
    """Open a transaction at a moment of the story, and roll it back."""
    with suppress(Undone), store.write() as uow:
        uow.message = Having(moment=TODAY)
        yield uow
        raise Undone


@contextmanager
def heard(store):
    """Hear each statement, with its parameters."""
    statements = []

    def hear(_connection, _cursor, statement, parameters, _context, many):
        statements.append((statement, parameters[0] if many else parameters))

    def pipeline(connection, asked, **how):
        statements.extend((words, given or {}) for words, given in asked)
        return pipeline_there(connection, asked, **how)

    pipeline_there = postgres.pipeline
    event.listen(store.engine, "before_cursor_execute", hear)
    postgres.pipeline = pipeline
    try:
        yield statements
    finally:
        postgres.pipeline = pipeline_there
        event.remove(store.engine, "before_cursor_execute", hear)


def of_the_chassis(store):
    """What every service asks of the tables that carry its messages."""
    stream = "filing", "enterprise_id-100"
    messages = [Having(id=f"id-{n}", stream=stream, envelope=Having(partitionkey=key))
                for n, key in enumerate(KEYS)]  # fmt: skip
    yield "the outbox's oldest unsent rows", lambda: Outbox(store).unsent(400)
    yield "the outbox's backlog", Outbox(store).backlog
    yield "marking as sent", lambda: Outbox(store).mark_sent([Having(seq=7), Having(seq=8)])
    yield "the last row at the start", store.note_last_seq
    yield "parked messages that are due", lambda: parked.due(store)
    yield "parked messages that a key frees", lambda: parked.freed_by(store, KEYS)
    yield "parked messages by state", lambda: parked.counts(store)
    yield "the oldest parked messages", lambda: parked.ages(store)
    yield "messages that were handled before", lambda: ask_suspects(store)
    rows = {"cursor": 0, "last": ROWS, "since": ROWS - 5000.0}
    request = Having(receiver="filing", handler=None, partition=None, marker=None, **rows)
    asked = store, request, frozenset(), 8, 400
    yield "what was sent since a moment, again", lambda: replay.page_of(*asked)
    yield "what is old", partial(sweep, store, {})
    yield (
        "parked messages that hold messages back",
        in_work(store, lambda uow: parked.held(uow, messages)),
    )
    yield (
        "the first parked message of a stream, before it is held",
        lambda: parked.head_of(store, stream),
    )
    yield (
        "the first parked message of a stream",
        in_work(store, lambda uow: parked.first_of(uow, stream, for_update=True)),
    )
    yield (
        "commands that were sent in an earlier hour",
        in_work(store, lambda uow: uow.execute(select(outbox.c.id).where(outbox.c.id.in_(KEYS)))),
    )


def sweep(store, retention_policies):
    """Take away as the retention does; a hundred rows are old."""
    settings = Settings(keep_outbox=29.999, keep_inbox=30)
    retention = Retention(store, settings, retention_policies, lambda: True)
    retention.sweep(100.0 + settings.keep_inbox * DAY)


def ask_suspects(store):
    """Ask as the consumer does for what the broker has delivered before."""
    consumer = Consumer(Having(), store, {}, lambda: None)
    known = {"redelivered": True, "partition": lambda _partitions: 0}
    messages = [Having(id=f"id-{n}", receipt=f"id-{n}", **known) for n in (1, 2)]
    consumer.guard.suspects(messages)


def in_work(store, act):
    """Make a question that is asked within a transaction."""

    def ask():
        with undone(store) as uow:
            act(uow)

    return ask


def in_batch(service, act):
    """Make a question that a handler of a service asks."""

    def ask(uow):
        service.before_batch([], uow)
        act(uow)

    return in_work(service.store, ask)


def of_the_domain(store, kind):
    """What a service asks of its own tables."""
    service = kind()
    service.store, service.rulebook = store, Rulebook.load()
    for field in kind.preload:
        fact = Having(**{field: f"{field.removesuffix('_id')}-1"})
        yield (
            f"{field} of a batch",
            in_work(
                store, lambda uow, fact=fact: service.before_batch([Having(payload=fact)], uow)
            ),
        )
    sweeps = [source for source in kind.handlers if isinstance(source, Sweeps)]
    for sweep, find in [each for one in sweeps for each in one.finders.items()]:
        for word, after in (("first", []), ("next", [FROM.get(kind.name, "2020-02-10"), "id-5"])):
            yield (
                f"the {word} page of what is {sweep}",
                in_batch(service, partial(find, after=after, most=100)),
            )
    if kind is Filings:
        code = Having(credit_code="0" * 17 + "7", registration_number="0" * 14 + "7")
        yield (
            "codes that are taken",
            in_work(store, lambda uow: service.before_batch([Having(payload=code)], uow)),
        )
        officers = {"officer-7", "officer-8"}
        yield (
            "officers to choose from",
            in_work(store, lambda uow: liaison._lock(uow, store, officers)),
        )
    if kind is Inspection:
        yield from of_inspection(service, store)
    if kind is Inspection:
        yield (
            "what is open at an enterprise",
            in_work(store, lambda uow: closing.open_issues(uow, "enterprise_id-7")),
        )
        yield (
            "the notices of an enterprise",
            in_work(store, lambda uow: closing.notices_of(uow, "enterprise_id-7")),
        )
    if kind is Complaints:
        yield from of_complaints(service)
    if kind is Insurance:
        medic = enrol("medic_id-7", "holder_ref-7", earlier_refs=["holder_ref-8"])
        claim = Having(policy_id="id-7", medic_id="medic_id-7")
        yield (
            "persons on record",
            in_work(store, lambda uow: service.before_batch([Having(payload=medic)], uow)),
        )
        refs = medic.holder_ref, *medic.earlier_refs
        yield "a medic on record", in_work(store, lambda uow: on_record(uow, *refs))
        yield "a person's claims", in_batch(service, refused(claims.file_claim, claim))
        paid = Having(claim_id="id-7", reference="reference-7", seen_version=None)
        yield "a payment reference", in_batch(service, refused(claims.pay_claim, paid))


def of_complaints(service):
    """What complaints asks about duplicates, when one is linked and when its main one has ended."""
    ended = ComplaintClosed(complaint_id="main_id-7", by="desk", closed_on=TODAY.date())
    link = LinkDuplicate(complaint_id="id-7", main_id="id-8", by="desk")
    messages = [Having(payload=ended)]
    yield (
        "what is linked to complaints that have ended",
        in_batch(service, partial(links.load_duplicates, messages)),
    )
    yield "two complaints to link", in_batch(service, refused(links.link, link))


def of_inspection(service, store):
    """What inspection asks to warn of a second mission, to give up a review, to draw a plan."""
    day, shop = TODAY.date(), "enterprise_id-7"
    plan = PlanVisit(visit_id="id-7", enterprise_id=shop, day=day)
    ended = ComplaintClosed(complaint_id="complaint_id-7", by="desk", closed_on=day)
    taken_back = FilingWithdrawn(filing_id="filing_id-7", enterprise_id=shop, reason="改期")
    for what, fact in (
        ("other visits of a day", plan),
        ("reviews that a filing needs no more", taken_back),
        ("checks that a complaint needs no more", ended),
    ):
        yield (
            what,
            in_work(
                store, lambda uow, fact=fact: service.before_batch([Having(payload=fact)], uow)
            ),
        )
    grid, book = "grid-7", Rulebook.load()
    asked = DrawPatrolPlan(plan_id="new", grid=grid, day=day, officers=["A"])
    yield "other plans of a day", in_work(store, lambda uow: _on_plans(uow, asked))
    yield (
        "visits that are due in a grid",
        in_work(store, lambda uow: _due(uow, asked, book, set())),
    )
    yield (
        "open premises of a grid",
        in_work(store, lambda uow: list(_at_risk(uow, asked, book, set()))),
    )


def refused(command, asked):
    """Make a question of what a command asks before it refuses, or comes to what is not there."""

    def ask(uow):
        with suppress(Exception):
            command(asked, uow)

    return ask


def of_the_gateway(store):
    """What the gateway asks of its read models and its records."""
    reads, records = Reads(store), Records(store)
    intake = CommandIntake(
        store, lambda: None, lambda _uow: TODAY, PersonKeys(store, Seal(b"k" * 32))
    )
    for name, view in VIEWS.items():
        yield f"one of the {name}", lambda view=view: reads.document(view, "id-7")
        yield (
            f"the {name} of a batch",
            in_work(store, lambda uow, view=view: load(store, uow, view)),
        )
        late = Place(None, ROWS - 60)
        yield f"the first page of the {name}", partial(reads.listing, view, ListQuery())
        yield f"a late page of the {name}", partial(reads.listing, view, ListQuery(after=late))
        yield f"whether the {name} are many", partial(reads.is_longer, view, ListQuery(), 10_000)
        for asked, how in lists_of(view):
            understood = parse_query(view, MultiDict(asked))
            yield f"{name} {how}", partial(reads.listing, view, understood)
    for column in (events.c.enterprise_id, events.c.complaint_id):
        yield (
            f"the timeline by {column.name}",
            (lambda column=column: reads.timeline(column == f"{column.name}-7", 10, 0)),
        )
    yield from of_exports(store, reads)
    yield from of_the_feed(store)
    yield from of_people(store, intake.people)
    yield "commands that are old", partial(sweep, store, Gateway.retention_policies)
    yield "statistics", reads.statistics
    yield "enterprises by officer", lambda: reads.counted("officers.")
    yield "a command", lambda: records.read("id-7")
    yield "commands that are settled", lambda: records.settled(["id-7", "id-8"])
    yield "rows of a batch", lambda: records.rows_of("batch_id-7", 3, 50)
    yield "rows of a batch by state", lambda: records.tally_of("batch_id-7")
    yield "rows of a batch that are pending", lambda: records.pending_rows("batch_id-7")
    yield (
        "keys that were used before",
        in_work(store, lambda uow: intake._old(uow, ["idempotency-7", "idempotency-8"])),
    )


def of_people(store, people):
    """What is asked of the keys of people, and of what they have sealed."""
    sealed = {"phone": Sealed("id-7.xxxx")}
    yield "keys of people", in_work(store, lambda uow: people._known(uow, ["person-7", "x"]))
    yield "keys that open something", in_work(store, refused(_open(people), sealed))
    yield "a key of the district that is not there", people.lacking
    yield (
        "events that tell of the people of a complaint",
        in_work(store, refused(partial(_told, DISCLOSURES[0]), {"id": "partitionkey-7"})),
    )


def _open(people):
    return lambda sealed, uow: people.open(uow, sealed)


def _told(opening, thing, uow):
    return Disclosures._told(uow, opening, thing)


def of_exports(store, reads):
    """What is asked of long exports, when one is asked for, made and read."""
    made = Exporting(reads, Rulebook.load())
    row = Having(id="id-7", chunks=1)
    yield (
        "exports that are alike",
        in_work(store, lambda uow: uow.execute(_alike("fingerprint-7", 0.0))),
    )
    yield "an export of a caller", partial(made.find, "id-7", "subject-7")
    yield "the oldest export that nobody writes", made._claim
    yield "an export that is written", in_work(store, renewed(made))
    yield "exports to leave to others", made.close
    yield "a piece of an export", lambda: list(made.content(row))


def renewed(made):
    """Hold the export that has been claimed, for longer."""

    def renew(uow):
        with suppress(_Lost):
            made._renew(uow, "id-100")

    return renew


def of_the_feed(store):
    """What is asked of the feed, and of the deliveries of a webhook, which end after 1970."""
    feed, late = Feed(store, Rulebook.load(), OFFERED), ROWS - 5000
    asked = {
        "all": Wanted(),
        "a type that there is": Wanted(types=("type-3",)),
        "types that there are not": Wanted(types=("issue-found", "visit-planned")),
        "an enterprise": Wanted(enterprise="enterprise_id-7"),
        "an enterprise and a type": Wanted(types=("nothing",), enterprise="enterprise_id-7"),
        "a grid": Wanted(grid="grid-3", grids=("grid-3",)),
        "a grid that holds nothing": Wanted(grid="nothing", grids=("nothing", "none")),
    }
    for name, wanted in asked.items():
        yield f"events of {name}", partial(feed.page, wanted, late, 100)
        yield f"one event of {name}", partial(feed.event, wanted, "id-7")
    deliveries, webhook = Deliveries(store), "webhook_id-7"
    yield "webhooks with work", partial(deliveries.with_work, 10.0**9)
    yield "room for deliveries", partial(deliveries.room, webhook)
    yield "deliveries that are due", partial(deliveries.due, webhook, 10.0**9, {"x"}, 8)
    yield "the oldest delivery", deliveries.oldest
    yield "old deliveries", partial(deliveries.forget, KEPT + 100)
    for state, before in ((None, 0), ("given_up", 0), ("waiting", 7500)):
        which = f"that are {state}" if state else "of a webhook"
        yield f"deliveries {which}", partial(deliveries.latest, webhook, state, before, 50)


def lists_of(view):
    """Return what people ask of a list: one filter, two, a range, an order, a worklist, words."""
    codes = [name for name, kind in view.columns.items() if not kind.ranges]
    for column in codes:
        yield {column: sample(view, column)}, f"by {column}"
        yield {column: "nothing"}, f"by no {column}"
    if len(codes) > 1:
        yield {name: sample(view, name) for name in codes[:2]}, f"by {' and '.join(codes[:2])}"
    for column in view.sorts:
        yield {"sort": column}, f"sorted by {column}"
        yield {"sort": f"-{column}"}, f"sorted by {column}, the last first"
        if view.columns[column] is columns.DAY:
            few = {column: "2020-02-10..2020-02-11"}
            yield few | {"sort": column}, f"by a range of {column}, sorted by it"
    for column in view.worklists:
        few = {"state": sample(view, "state"), "sort": column}
        yield few, f"in one state, sorted by {column}"
    if view.words:
        for words, how in (
            ("xy yx", "common words"),
            ("小館 82", "a rare word"),
            ("小館82", "a longer word"),
        ):
            yield {"q": words}, f"with {how}"


def sample(view, column):
    """Return a value that a filter's column holds."""
    with_number = f"{column}-{7 if column.endswith('_id') or column == 'about' else 3}"
    if column == "state" and view.name in ENDED:
        return ENDED[view.name][0]
    return "0" * 17 + "7" if column == "credit_code" else with_number


def load(store, uow, view):
    """Load documents as a batch does."""

    class Fact(Having):
        pass

    facts = [Having(payload=Fact(**{view.id_field: f"id-{n}"})) for n in (7, 8)]
    Page(store, {Fact: [view]}).load(uow, facts)
