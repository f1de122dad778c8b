"""What the gateway has kept cannot be changed, deleted, added or moved without its showing."""

import json

import eventlet
import pytest
from sqlalchemy import delete, func, insert, select, update

from services.gateway.event_log.chain import AUDIT, EVENTS, Head
from services.gateway.tables import audit, events, heads
from tests.console.conftest import here

TABLES = {"events": events, "audit": audit}


class Auditor:
    """Somebody with access to the database, and somebody who checks it."""

    def __init__(self, district):
        self.district, self.environ = district, district.environ
        self.store = district.store("gateway")

    def verify(self, *words):
        return here(self.environ, "audit", "verify", *words)

    def heads(self):
        code, out, errors = here(self.environ, "audit", "head")
        assert (code, errors) == (0, [])
        return [word for line in out for word in ("--head", line)]

    def tamper(self, *statements):
        with self.store.write() as uow:
            for statement in statements:
                uow.execute(statement)

    def row(self, table, position):
        with self.store.engine.connect() as connection:
            return connection.execute(select(table).where(table.c.position == position)).one()

    def last(self, table):
        with self.store.engine.connect() as connection:
            return connection.scalar(select(func.max(table.c.position)))

    def broken(self, *words):
        code, out, _ = self.verify("--json", *words)
        found = {one["chain"]: one["broken"] for one in json.loads(out[0]) if one["broken"]}
        assert code == (1 if found else 0)
        return {chain: one["position"] for chain, one in found.items()}


@pytest.fixture
def auditor(running):
    shop = running.reopened()
    running.visit(shop, findings=["dine_in"])
    running.settle()
    return Auditor(running)


def test_what_nobody_touched_is_unbroken(auditor):
    code, out, errors = auditor.verify()
    assert (code, errors) == (0, [])
    assert [line.partition(":")[0] for line in out] == ["events", "audit"]
    assert all("unbroken" in line for line in out)
    assert auditor.broken(*auditor.heads()) == {}
    assert auditor.last(events) > 10
    assert auditor.last(audit) == 3, "register, file, record"


def test_entries_are_listed_by_who_what_and_about_what(auditor):
    code, out, errors = here(auditor.environ, "audit", "list", "--json")
    entries = [json.loads(line) for line in out]
    assert (code, errors) == (0, [])
    assert [entry["position"] for entry in entries] == [1, 2, 3]
    assert [entry["what"] for entry in entries] == [
        "register-enterprise",
        "submit-filing",
        "record-visit",
    ]
    assert {entry["who"] for entry in entries} == {"tester"}
    for name in ("what", "about"):
        only = here(auditor.environ, "audit", "list", "--json", f"--{name}", entries[1][name])[1]
        alike = [entry for entry in entries if entry[name] == entries[1][name]]
        assert [json.loads(line) for line in only] == alike
    assert here(auditor.environ, "audit", "list", "--who", "nobody")[:2] == (0, [])
    (line,) = here(auditor.environ, "audit", "list", "--last", 1)[1]
    assert line.startswith("3  ")
    assert "record-visit" in line
    assert here(auditor.environ, "audit", "list", "--last", 0)[0] == 2


@pytest.mark.parametrize("name", TABLES)
def test_a_row_that_is_changed_deleted_moved_or_added_is_named(auditor, name):
    table = TABLES[name]
    column = table.c.body if name == "events" else table.c.content
    third = table.c.position == 3
    kept = auditor.row(table, 3)
    auditor.tamper(update(table).where(third).values({column.name: column + " "}))
    assert auditor.broken() == {name: 3}
    auditor.tamper(delete(table).where(third))
    assert auditor.broken() == {name: 3}
    auditor.tamper(insert(table).values(kept._asdict()))
    assert auditor.broken() == {}

    auditor.tamper(  # two change places
        update(table).where(third).values(position=0),
        update(table).where(table.c.position == 2).values(position=3),
        update(table).where(table.c.position == 0).values(position=2),
    )
    assert auditor.broken() == {name: 2}
    auditor.tamper(
        update(table).where(table.c.position == 2).values(position=0),
        update(table).where(third).values(position=2),
        update(table).where(table.c.position == 0).values(position=3),
    )
    assert auditor.broken() == {}

    forged = kept._asdict() | {"position": 0} | ({"id": "forged"} if "id" in table.c else {})
    auditor.tamper(insert(table).values(forged))
    assert auditor.broken() == {name: 1}


@pytest.mark.parametrize("name", TABLES)
def test_an_end_that_was_cut_off_shows_and_with_an_anchor_also_when_the_head_was_mended(
    auditor, name
):
    table, anchors = TABLES[name], auditor.heads()
    last = auditor.last(table)
    auditor.tamper(delete(table).where(table.c.position == last))
    assert auditor.broken() == {name: last}
    before = auditor.row(table, last - 1)
    mended = update(heads).where(heads.c.chain == name)
    auditor.tamper(mended.values(position=last - 1, digest=before.digest))
    assert auditor.broken() == {}, "by itself a shorter chain is a good one"
    assert auditor.broken(*anchors) == {name: last}


def test_a_chain_that_was_written_anew_does_not_go_through_its_anchor(auditor):
    anchors = auditor.heads()
    with auditor.store.engine.connect() as connection:
        rows = [row._asdict() for row in connection.execute(select(audit).order_by("position"))]
    rows[1]["who"] = "somebody-else"
    auditor.tamper(delete(audit), delete(heads).where(heads.c.chain == "audit"))
    with auditor.store.write() as uow:
        AUDIT.append(auditor.store, uow, rows)
    assert auditor.broken() == {}
    assert auditor.broken(*anchors) == {"audit": len(rows)}


def test_entries_go_on_where_the_anchor_was(auditor):
    anchors = auditor.heads()
    auditor.district.register()
    auditor.district.settle()
    assert auditor.broken(*anchors) == {}


def test_who_writes_later_stands_later_also_while_transactions_overlap(auditor):
    """On PostgreSQL a second transaction waits for the first; SQLite has one at a time anyway."""
    if auditor.store.dialect.name == "sqlite":
        return
    known, last = auditor.row(events, 1)._asdict(), auditor.last(events)
    with auditor.store.write() as uow:
        EVENTS.append(auditor.store, uow, [known | {"id": "late"}])
        other = eventlet.spawn(auditor.district.register)
        eventlet.sleep(0.3)
        assert not other.dead
        assert auditor.last(events) == last
    other.wait()
    assert auditor.row(events, last + 1).id == "late"
    assert auditor.row(events, last + 2).type == "enterprise-registered"
    assert auditor.broken() == {}


@pytest.mark.parametrize("text", ["", "events", "events:1:abc", "streets:1:" + "0" * 64, "x:y:z"])
def test_what_is_no_anchor_is_refused_in_one_sentence(running, text):
    code, out, errors = here(running.environ, "audit", "verify", "--head", text)
    assert (code, out, len(errors)) == (2, [], 1)
    assert "is not what `bihuan audit head` prints" in errors[0]


def test_an_empty_chain_is_unbroken(running):
    store = running.store("gateway")
    assert AUDIT.head(store) == Head("audit", 0, "0" * 64)
    assert AUDIT.verify(store) == (Head("audit", 0, "0" * 64), None)
