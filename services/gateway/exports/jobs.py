"""Export jobs: requested from any gateway, written by one into the database, readable from all.

An export is one row, and its file many rows. The writing gateway holds a lease that expires, and
writes each chunk only while it holds it; if that gateway dies, another starts the file again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from sqlalchemy import and_, delete, insert, or_, select, update
from werkzeug.datastructures import MultiDict

from chassis.errors import Invalid, Rejected
from chassis.ids import new_id
from chassis.logs import log
from chassis.message import encode
from chassis.runtime.green import Event, Timeout, pause
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.unit_of_work import UnitOfWork
from rulebook import Rulebook
from services.gateway.access.callers import Caller
from services.gateway.access.scope import AccessScope
from services.gateway.exports.formats import FORMATS, Export, Format
from services.gateway.read_models.list_query import parse_query
from services.gateway.read_models.queries import Reads
from services.gateway.resources import VIEWS
from services.gateway.resources.roles import Role
from services.gateway.resources.view import Document, View
from services.gateway.tables import DONE, FAILED, PENDING, export_chunks, exports

PAGE = 500
"""Rows to read at once."""
CHUNK = 256 * 1024
"""Minimum bytes of a chunk, which is one row of the database."""
LEASE = 30.0
"""Lease of an export, in seconds."""
RENEW_EVERY = 5.0
LOOK_EVERY = 2.0
"""Polling interval, in seconds, for exports requested from another gateway or abandoned by it."""
ALIKE_WITHIN = 60.0
"""Seconds for which an identical request gets the same export."""
MOST_ATTEMPTS = 3
DAYS_KEPT = 1.0


class ExportBrokeOff(Invalid):
    """The export ended early; request it again."""


class _Lost(Exception):
    """Another gateway holds the export now, or it was deleted."""


class Exporting:
    """Accepts long exports and writes them, one at a time."""

    def __init__(self, reads: Reads, book: Rulebook) -> None:
        self.reads = reads
        self.store = reads.store
        self._book = book
        self._me = new_id()
        self._log = log("gateway")
        self._call = Event()
        self._held: str | None = None
        self._rows = 0
        self._closing = False

    # -- requests

    def ask(self, caller: Caller, view: View, query: Mapping[str, str], wanted: Format) -> str:
        """Request an export of a list; return its id, or that of an identical pending or recent
        export."""
        asker = encode(_caller_data(caller))
        request = encode([asker, view.name, sorted(query.items()), wanted.name])
        fingerprint = _digest(request)
        with self.store.write() as uow:
            now = self.store.seconds(uow)
            row = {
                "id": self.store.new_id(),
                "subject": caller.known_as,
                "caller": asker,
                "list": view.name,
                "query": encode(dict(query)),
                "format": wanted.name,
                "fingerprint": fingerprint,
                "sameness": _digest(fingerprint, int(now / ALIKE_WITHIN)),
                "state": PENDING,
                **dict.fromkeys(("rows", "size", "chunks", "attempts", "until"), 0),
                "asked_at": now,
            }
            existing = uow.scalar(_alike(fingerprint, now - ALIKE_WITHIN))
            if existing is None:
                uow.execute(self.store.statements.insert_new(exports), row)
                existing = uow.scalar(
                    select(exports.c.id).where(exports.c.sameness == row["sameness"])
                )
        if not self._call.ready():
            self._call.send()
        return str(existing)

    # -- results

    def find(self, identity: str, owner: str) -> Any:
        """Return an export's row if the caller owns it."""
        query = select(exports).where(exports.c.id == identity, exports.c.subject == owner)
        with self.store.engine.connect() as connection:
            return connection.execute(query).first()

    def content(self, row: Any) -> Iterator[bytes]:
        """Return the file of an export, chunk by chunk; raises `ExportBrokeOff` if it is
        deleted."""
        query = select(export_chunks.c.content).where(export_chunks.c.export_id == row.id)
        for number in range(row.chunks):
            with self.store.engine.connect() as connection:
                chunk = connection.scalar(query.where(export_chunks.c.number == number))
            if chunk is None:
                raise ExportBrokeOff
            yield bytes(chunk)

    # -- writing

    def run(self) -> None:
        """Write requested exports, one after the other, forever."""
        while True:
            call, self._call = self._call, Event()
            try:
                while (row := self._claim()) is not None:
                    self._export(row)
            except STORAGE_ERRORS as error:
                self._log.warning("exports put off", error=str(error))
            except Exception:  # an export that cannot be ended stays, and is tried again
                self._log.exception("exports put off")
            if not call.ready():
                with Timeout(LOOK_EVERY, exception=False):
                    self._call.wait()

    def keep(self) -> None:
        """Renew the lease of the current export and record its progress, forever."""
        while True:
            pause(RENEW_EVERY)
            if self._held is not None:
                try:
                    with self.store.write(durable=False) as uow:
                        self._renew(uow, self._held)
                except _Lost:
                    continue  # the writer will notice
                except STORAGE_ERRORS as error:
                    self._log.warning("lease not renewed", error=str(error))

    def close(self) -> None:
        """Release the current export to other gateways."""
        self._closing = True
        held = and_(exports.c.worker == self._me, exports.c.state == PENDING)
        left = {"until": 0.0, "worker": None, "attempts": exports.c.attempts - 1}
        try:
            with self.store.write() as uow:
                uow.execute(update(exports).where(held).values(left))
        except STORAGE_ERRORS as error:
            self._log.warning("export not released", error=str(error))

    def _claim(self) -> Any:
        """Claim the oldest unclaimed export and start it from the beginning."""
        query = select(exports).where(exports.c.state == PENDING).order_by(exports.c.id)
        with self.store.engine.connect() as connection:
            if self._closing or connection.execute(query.limit(1)).first() is None:
                return None
        with self.store.write() as uow:
            now = self.store.seconds(uow)
            left = or_(exports.c.until < now, exports.c.until > now + 2 * LEASE)  # clock skew
            free = query.where(left).limit(1).with_for_update(skip_locked=True)
            row = uow.execute(free).first()
            if row is not None:
                mine = {"worker": self._me, "until": now + LEASE, "rows": 0}
                uow.execute(
                    update(exports)
                    .where(exports.c.id == row.id)
                    .values(mine | {"attempts": row.attempts + 1})
                )
                uow.execute(delete(export_chunks).where(export_chunks.c.export_id == row.id))
        return row

    def _export(self, row: Any) -> None:
        """Write an export and record its result; after a storage error the export stays pending."""
        self._held, self._rows = row.id, 0
        try:
            if row.attempts >= MOST_ATTEMPTS:
                self._end(row, FAILED, problem=ExportBrokeOff().problem())
                return
            self._write(row)
        except _Lost:
            self._log.info("export lost to another gateway", export=row.id)
        except STORAGE_ERRORS:
            raise
        except Rejected as error:
            self._end(row, FAILED, problem=error.problem())
        except Exception as error:
            self._log.error("export failed", export=row.id, exc_info=error)
            self._end(row, FAILED, problem=ExportBrokeOff().problem())
        finally:
            self._held = None

    def _write(self, row: Any) -> None:
        view, caller = VIEWS[row.list], _caller_of(json.loads(row.caller))
        scope = AccessScope(self._book, caller.principal(view.readers)).of(view)
        listing = replace(parse_query(view, MultiDict(json.loads(row.query)), scope), limit=PAGE)
        export = Export(view, self.reads.as_of())
        pages = self._counted(self.reads.pages(view, listing))
        number = size = 0
        for number, chunk in enumerate(_chunks(FORMATS[row.format].write(export, pages)), start=1):
            size += len(chunk)
            place = {"id": self.store.new_id(), "export_id": row.id, "number": number - 1}
            with self.store.write() as uow:
                self._renew(uow, row.id)
                uow.execute(insert(export_chunks), place | {"content": chunk})
        self._end(row, DONE, as_of=export.as_of, size=size, chunks=number)

    def _counted(self, pages: Iterator[list[Document]]) -> Iterator[list[Document]]:
        for page in pages:
            self._rows += len(page)
            yield page

    def _end(self, row: Any, state: str, **ended: Any) -> None:
        """Record how an export ended; a failed export answers no later request."""
        written = {name: encode(v) if isinstance(v, dict) else v for name, v in ended.items()}
        sameness = {"sameness": row.id} if state == FAILED else {}
        try:
            with self.store.write() as uow:
                now = self.store.seconds(uow)
                self._renew(uow, row.id, state=state, ended_at=now, **written, **sameness)
        except _Lost:
            self._log.info("export lost to another gateway", export=row.id)

    def _renew(self, uow: UnitOfWork, identity: str, **values: Any) -> None:
        """Extend the lease of an export and update it; raises `_Lost` if another gateway holds
        it."""
        mine = and_(exports.c.id == identity, exports.c.worker == self._me)
        held = self.store.seconds(uow) + LEASE
        changed = uow.execute(
            update(exports)
            .where(mine, exports.c.state == PENDING)
            .values(values | {"until": held, "rows": self._rows})
        )
        if not changed.rowcount:  # type: ignore[attr-defined]
            raise _Lost(identity)


def _alike(fingerprint: str, since: float) -> Any:
    return (
        select(exports.c.id)
        .where(
            exports.c.fingerprint == fingerprint,
            or_(
                exports.c.state == PENDING,
                and_(exports.c.state == DONE, exports.c.asked_at > since),
            ),
        )
        .order_by(exports.c.asked_at.desc())
        .limit(1)
    )


def _digest(*parts: Any) -> str:
    return blake2b(encode(parts).encode(), digest_size=32).hexdigest()


def _chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join pieces into chunks large enough for a row."""
    held: list[bytes] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= CHUNK:
            yield b"".join(held)
            held.clear()
    if held:
        yield b"".join(held)


def _caller_data(caller: Caller) -> dict[str, Any]:
    """Return the caller with all that determines what it may see."""
    return {
        "subject": caller.subject,
        "roles": sorted(caller.roles),
        "grids": sorted(caller.grids),
        "enterprises": sorted(caller.enterprises),
        **({"issuer": caller.issuer} if caller.issuer else {}),
    }


def _caller_of(data: Mapping[str, Any]) -> Caller:
    return Caller(
        data["subject"],
        frozenset(map(Role, data["roles"])),
        frozenset(data["grids"]),
        frozenset(data["enterprises"]),
        issuer=data.get("issuer", ""),
    )
