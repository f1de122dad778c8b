"""Replay: the relay publishes sent messages again, to one receiver that lost them or is new.

Sent rows stay in the outbox for a while, and a receiver deduplicates by its inbox, so that any
message may be resent. A receiver whose queue was deleted asks every publisher for the messages that
the queue may have held. It skips a publisher's messages until its recovery marker arrives, and the
publisher sends no new message to that partition before it has resent all: so the order of each key
is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import and_, bindparam, func, insert, or_, select, update

from chassis import metrics
from chassis.ids import moment_of, new_id
from chassis.logs import log
from chassis.message import Message, partition_of
from chassis.messaging.bus import ANY, Bindings
from chassis.storage.clock import MARGIN
from chassis.storage.retention import let_go_until
from chassis.storage.store import Store
from chassis.storage.tables import deployment, leases, message_of, outbox, resends, strays
from chassis.storage.unit_of_work import UnitOfWork
from contracts.message import Envelope
from contracts.shapes import Id, Key, moment_to_json
from contracts.shared import Resend, ResendBegan


def ask(
    uow: UnitOfWork,
    receiver: str,
    since: float,
    *,
    partition: int | None = None,
    marker: str | None = None,
    handler: str | None = None,
) -> int:
    """Request that this service's relay resend what it sent since a moment; return the request's
    number.

    Logs an error if the outbox no longer holds all of it.
    """
    gone = let_go_until(uow)
    if since < gone:
        metrics.RESENDS_SHORT.labels(uow.source).inc()
        details = {
            "to": receiver,
            "partition": partition,
            "since": _iso(since),
            "kept_since": _iso(gone),
        }
        log(uow.source).error("resend incomplete", **details)
    last = uow.scalar(select(func.max(outbox.c.seq))) or 0
    row = {
        "receiver": receiver,
        "handler": handler,
        "partition": partition,
        "marker": marker,
        "since": since,
        "cursor": 0,
        "last": last,
        "sent": 0,
        "asked_at": uow.clock(),
    }
    return int(uow.scalar(insert(resends).values(row).returning(resends.c.seq)) or 0)


def next_of(store: Store, but: Collection[int] = ()) -> Any:
    """Return the next unfinished request, except these; lost queues come first."""
    query = select(resends).where(resends.c.done_at.is_(None), resends.c.seq.not_in(but))
    with store.engine.connect() as connection:
        return connection.execute(
            query.order_by(resends.c.marker.is_(None), resends.c.seq).limit(1)
        ).first()


def done_of(store: Store, seqs: Collection[int]) -> list[Any]:
    """Return the finished ones of these requests."""
    query = select(resends).where(resends.c.seq.in_(seqs), resends.c.done_at.is_not(None))
    with store.engine.connect() as connection:
        return list(connection.execute(query))


def begin(store: Store, request: Any) -> Any:
    """Fix the end of a request, just before its marker; return the changed request.

    The receiver skips messages until the marker arrives, also those that the relay has sent since
    the request: all of them are resent. Operators' resends to that receiver, which the queue may
    have held too, begin again. A resend for an earlier loss, possibly lost with this queue, starts
    from where that began.
    """
    last = select(func.coalesce(func.max(outbox.c.seq), 0)).scalar_subquery()
    its_row = resends.c.seq == request.seq
    to_it = resends.c.receiver == request.receiver
    lost = and_(to_it, or_(resends.c.done_at.is_(None), resends.c.done_at >= request.since))
    earlier = select(func.min(resends.c.since)).where(
        lost, resends.c.partition == request.partition
    )
    with store.write(durable=False) as uow:
        since = uow.scalar(earlier.where(resends.c.marker.is_not(None)))
        values = {"last": last, "since": min(request.since, since or request.since)}
        uow.execute(update(resends).where(its_row).values(values))
        again = update(resends).where(lost, resends.c.marker.is_(None))
        uow.execute(again.values(cursor=0, sent=0, done_at=None))
        return uow.execute(select(resends).where(its_row)).one()


def page_of(
    store: Store, request: Any, hears: Bindings, partitions: int, most: int
) -> tuple[list[Message], int]:
    """Return the messages of a request among its next rows, and the cursor after them.

    After a lost queue an unsent row may have been published by an earlier relay that could not mark
    it. All messages carry the last marker of their partition.
    """
    sent = outbox.c.sent_at >= request.since
    query = (
        select(outbox)
        .where(outbox.c.seq > request.cursor, outbox.c.seq <= request.last)
        .where(or_(sent, outbox.c.sent_at.is_(None)) if request.marker else sent)
        .order_by(outbox.c.seq)
        .limit(most)
    )
    with store.engine.connect() as connection:
        rows = connection.execute(query).all()
        last = connection.execute(_LAST_MARKERS, {"receiver": request.receiver})
        markers = {row.partition: row.marker for row in last}
    messages = []
    for row in rows:
        message = message_of(row)
        partition, message.handler = message.partition(partitions), request.handler
        message.marker = request.marker or markers.get(partition)
        matching = hears & {(row.exchange, row.type), (ANY, row.type)}
        if matching and request.partition in (None, partition):
            messages.append(message)
    return messages, rows[-1].seq if len(rows) == most else request.last


def advance(store: Store, request: Any, cursor: int, sent: int) -> None:
    """Record the progress of a request, and that it is done at its end."""
    values: dict[str, Any] = {"sent": request.sent + sent, "cursor": cursor}
    if cursor >= request.last:
        values["done_at"] = store.now()
    with store.write(durable=False) as uow:
        uow.execute(update(resends).where(resends.c.seq == request.seq).values(values))


_LAST_MARKERS = (
    select(resends.c.partition, func.max(resends.c.marker).label("marker"))
    .where(resends.c.receiver == bindparam("receiver"), resends.c.marker.is_not(None))
    .where(resends.c.done_at.is_not(None))
    .group_by(resends.c.partition)
)


def marker_of(source: str, marker: str, partition: int, partitions: int, now: float) -> Message:
    """Return the marker message, with a key of the lost partition."""
    lane = next(name for n in count() if partition_of(name := f"lane-{n}", partitions) == partition)
    payload = ResendBegan(lane=Key(lane), marker=Id(marker), marked=True)
    return Message.of(payload, Envelope(new_id(), source, payload.type, _iso(now), lane, marker))


def begin_recovery(
    store: Store,
    partition: int,
    sources: Iterable[str],
    hold: Callable[[UnitOfWork, Collection[int]], None],
) -> list[str]:
    """Ask every publisher for the messages that a lost queue may have held; return the publishers.

    A queue that never existed has held nothing, as `drained_at` shows. All is recorded before the
    queue is declared again, in one transaction with the requests, and only while the partition is
    held: raises `PartitionLost`.
    """
    its_row = leases.c.name == f"partition {partition}"
    publishers = []
    with store.write() as uow:
        hold(uow, [partition])
        drained_at = uow.scalar(select(leases.c.drained_at).where(its_row))
        if drained_at is None:
            return []
        if drained_at > uow.clock() + MARGIN:  # a clock was wrong: the moment is unusable
            drained_at = 0.0
        since = max(0.0, drained_at - MARGIN)
        for source in sorted(sources):
            marker = _next_marker(uow, partition, source)
            publishers.append(source)
            uow.execute(
                store.statements.insert_or_replace(deployment, "name"),
                {"name": f"recovery {partition} {source}", "value": marker},
            )
            if source == store.service:
                ask(uow, store.service, since, partition=partition, marker=marker)
                continue
            command = Resend(
                receiver=store.service,
                partition=partition,
                since=datetime.fromtimestamp(since, UTC),
                marker=Id(marker),
            )
            moment = _iso(uow.clock())
            envelope = Envelope(marker, store.service, command.type, moment, command.key, marker)
            uow.outbox.append(Message.of(command, envelope, to=source))
    return publishers


def _next_marker(uow: UnitOfWork, partition: int, source: str) -> str:
    """Return a marker later than the earlier ones, even if a clock was set back."""
    before = deployment.c.name == f"recovery {partition} {source}"
    markers = uow.scalars(select(deployment.c.value).where(before)).all()
    markers = [*markers, uow.scalar(select(func.max(strays.c.marker))) or ""]
    latest = max(moment_of(marker) or 0.0 for marker in markers)
    return new_id(max(uow.clock(), latest + 0.002))


def queue_made(store: Store, partition: int, at: float) -> None:
    """Record the moment before which a queue held nothing, since it did not exist.

    Called after the declaration: before it, another replica would find the queue deleted. A queue
    that existed before keeps its moment: its lost messages are still being requested.
    """
    its_row = leases.c.name == f"partition {partition}"
    with store.write() as uow:
        first = update(leases).where(its_row, leases.c.drained_at.is_(None))
        uow.execute(first.values(drained_at=at))


def recoveries_of(uow: UnitOfWork, partition: int) -> dict[str, str]:
    """Return the markers that a partition still waits for, by publisher."""
    prefix = f"recovery {partition} "
    query = select(deployment).where(deployment.c.name.startswith(prefix))
    return {row.name.removeprefix(prefix): row.value for row in uow.execute(query)}


def end_recovery(uow: UnitOfWork, partition: int, source: str, began: ResendBegan) -> None:
    """Record that a marker has arrived. A publisher of an earlier version does not mark its resent
    messages, which cannot be distinguished from skipped ones: those records are deleted."""
    its_row = and_(
        deployment.c.name == f"recovery {partition} {source}", deployment.c.value == began.marker
    )
    uow.execute(deployment.delete().where(its_row))
    if not began.marked:
        uow.execute(strays.delete().where(strays.c.marker <= began.marker))


def remember(store: Store, uow: UnitOfWork, left_out: Mapping[str, str]) -> None:
    """Record skipped messages by receipt, each with the marker after which it is resent."""
    rows = [{"id": receipt, "marker": marker} for receipt, marker in sorted(left_out.items())]
    store.write_rows(uow, store.statements.insert_or_replace(strays, "id"), rows)


def strays_of(uow: UnitOfWork, messages: Iterable[Message]) -> dict[str, str]:
    """Return which of these messages were skipped before, each with the marker after which it is
    resent."""
    rows = uow.execute(select(strays).where(strays.c.id.in_({each.receipt for each in messages})))
    return {row.id: row.marker for row in rows}


def _iso(seconds: float) -> str:
    return moment_to_json(datetime.fromtimestamp(seconds, UTC))
