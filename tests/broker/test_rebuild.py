"""The read models follow from the kept events: compared, damaged, and made anew while gateways go
on projecting; on SQLite and on PostgreSQL."""

import os
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from unittest import mock
from urllib.parse import quote

import eventlet
import pytest
from sqlalchemy import delete, insert, select, update

import tests.loop.complaints
import tests.loop.enterprises
import tests.loop.insurance  # noqa: F401  (each adds its stories)
from chassis.storage.store import Store
from console.demo.synthetic import credit_code
from console.main import main
from contracts.inspection.events import PromptSlipIssued
from services.gateway.read_models import rebuild as read_models_rebuild
from services.gateway.read_models.rebuild import NotProjectable, Rebuilding
from services.gateway.resources import VIEWS
from services.gateway.tables import counters, events, metadata
from tests.console.test_command_line import bihuan
from tests.loop.telling import STORIES

ENTERPRISES, SLIPS = VIEWS["enterprises"].table, VIEWS["slips"].table
EQUAL = "The read models match the events."


def environ(district):
    settings = district.running.settings
    return {"DATA": str(settings.data), "DATABASE_URL": settings.database_url}


def rebuild(district, *words):
    """Run `bihuan rebuild` in the test's own process: exit code, lines of output."""
    out, errors = StringIO(), StringIO()
    with (
        mock.patch.dict(os.environ, environ(district)),
        mock.patch.object(sys, "argv", ["bihuan", "rebuild", *words]),
        redirect_stdout(out),
        redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return ended.value.code, out.getvalue().splitlines()[:-1]


def kept(district):
    """Read events and read models as they stand, positions included."""
    words = [view.words.table for view in VIEWS.values() if view.words]
    tables = [events, counters, *(view.table for view in VIEWS.values()), *words]
    with district.store("gateway").engine.connect() as connection:
        return {
            table.name: connection.execute(select(table).order_by(*table.primary_key)).all()
            for table in tables
        }


def tell_all(district):
    """Return every story. Some look at totals or at a day of the month: told after others they may
    break off, which is nothing to a rebuild."""
    district.begin()
    for tell in STORIES.values():
        with suppress(AssertionError, ValueError):
            tell(district)
    district.settle()


def damage(district):
    """Alter a document, a filter column and a counter, delete a row and add one of nothing."""
    before = kept(district)
    altered, filtered = before["enterprises"][1], before["enterprises"][2]
    gone = before["slips"][-1]
    ghost = before["slips"][0]._asdict() | {"id": "ghost"}
    del ghost["position"]
    with district.store("gateway").write() as uow:
        by_id = update(ENTERPRISES).where(ENTERPRISES.c.id == altered.id)
        uow.execute(by_id.values(doc=altered.doc + " "))
        uow.execute(
            update(ENTERPRISES).where(ENTERPRISES.c.id == filtered.id).values(grid="nowhere")
        )
        uow.execute(delete(SLIPS).where(SLIPS.c.id == gone.id))
        uow.execute(insert(SLIPS).values(ghost))
        uow.execute(update(counters).where(counters.c.name == "registered.total").values(value=7))
        uow.execute(insert(counters).values(name="no.such", value=3))
    return before, altered, filtered, gone


def test_read_models_follow_from_the_events_and_are_put_right(district):
    tell_all(district)
    code, out = rebuild(district, "--check")
    assert (code, out[-1]) == (0, EQUAL)
    assert [line.split()[0] for line in out[:-1]] == list(VIEWS)

    before, altered, filtered, gone = damage(district)
    damaged = kept(district)
    code, out = rebuild(district, "--check")
    assert code == 1
    text = "\n".join(out)
    for said in (
        f"{altered.id} changed",
        f"{filtered.id} changed",
        f"{gone.id} missing",
        "ghost surplus",
        "counter registered.total was 7, and should be",
        "counter no.such was 3, and should be 0",
    ):
        assert said in text
    assert kept(district) == damaged, "a check changes nothing"

    code, out = rebuild(district)
    assert (code, out[-1]) == (0, "The differences have been corrected.")
    after = kept(district)
    assert [row[1:] for row in after["slips"]] == [row[1:] for row in before["slips"]]
    assert [row for row in after["counters"] if row.value] == [
        row for row in before["counters"] if row.value
    ]
    for name in before.keys() - {"slips", "counters"}:
        assert after[name] == before[name], "positions too"
    assert after["slips"][:-1] == before["slips"][:-1]
    code, out = rebuild(district, "--check")
    assert (code, out[-1]) == (0, EQUAL)


def test_words_by_which_documents_are_found_are_put_right(district):
    """The index follows: lost and false words are found out, and those of what is nothing go."""
    district.begin()
    shops = [district.register(name=f"閉環{n}館") for n in "甲乙丙"]
    words = VIEWS["enterprises"].words.table
    found = lambda text: [  # noqa: E731
        item["id"] for item in district.client.everything(f"/v1/enterprises?q={quote(text)}")
    ]
    before = kept(district)["enterprises_words"]
    assert found("閉環") == shops
    with district.store("gateway").write() as uow:
        first, second, _ = (row.position for row in before)
        uow.execute(delete(words).where(words.c.position == first))
        uow.execute(update(words).where(words.c.position == second).values(words="假的"))
    assert found("閉環") == shops[2:]
    assert found("假的") == [shops[1]]
    code, out = rebuild(district, "--check")
    assert code == 1
    assert all(f"{shop} changed" in "\n".join(out) for shop in shops[:2])
    assert rebuild(district)[0] == 0
    assert kept(district)["enterprises_words"] == before
    assert (found("閉環"), found("假的")) == (shops, [])
    assert rebuild(district, "--check")[0] == 0


def test_one_read_model_can_be_put_right_alone(make_district):
    district = make_district()
    district.begin()
    district.reopened()
    damage_both = [update(ENTERPRISES).values(doc="{}"), update(SLIPS).values(doc="{}")]
    with district.store("gateway").write() as uow:
        for statement in damage_both:
            uow.execute(statement)
    rebuild(district, "slips")
    assert all(row.doc != "{}" for row in kept(district)["slips"])
    code, out = rebuild(district, "--check")
    assert code == 1
    assert not [line for line in out if line.startswith("slips") and "none" not in line]


def test_gateways_go_on_projecting_while_read_models_are_rebuilt(district, monkeypatch):
    """Everything is damaged again and again, and put right by a process of its own, under load."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    district.begin()
    first = [district.register() for _ in range(10)]
    stop, made = [], []

    def load(worker):
        numbers = iter(range(1000 * (worker + 1), 1000 * (worker + 2)))
        while not stop:
            asked = {
                "credit_code": credit_code(next(numbers)),
                "name": "新店",
                "kind": "sole_trader",
                "size": "micro",
                "industry": "F5211",
                "premises": "shop",
                "grid": "350503003",
            }
            made.append(district.client.post("/v1/enterprises", asked)["enterprise_id"])
            shop = (first + made)[worker % len(first)]
            closure = district.client.post(
                "/v1/closures", {"enterprise_id": shop, "reason": "檢查"}
            )["closure_id"]
            lifting = {"reason": "無誤", "approver": "head-1"}
            district.client.post(f"/v1/closures/{closure}/lifting", lifting)

    workers = [eventlet.spawn(load, number) for number in range(4)]
    for _ in range(3):
        before = len(made)
        with district.store("gateway").write() as uow:
            uow.execute(update(ENTERPRISES).values(grid="nowhere"))
            uow.execute(update(counters).values(value=counters.c.value + 5))
        code, out, errors = bihuan("rebuild", **environ(district))
        assert (code, errors) == (0, []), out
        assert "The differences have been corrected." in out
        assert len(made) > before, "the district goes on"
    stop.append(True)
    for worker in workers:
        worker.wait()
    district.settle()
    code, out = rebuild(district, "--check")
    assert (code, out[-1]) == (0, EQUAL), out
    assert {row.id for row in kept(district)["enterprises"]} == {*first, *made}


def test_many_differences_are_put_right_a_few_at_a_time(make_district, monkeypatch):
    district = make_district()
    tell_all(district)
    monkeypatch.setattr(read_models_rebuild, "IN_ONE_LOCK", 3)
    monkeypatch.setattr(read_models_rebuild, "MANY", 5)
    before = kept(district)
    with district.store("gateway").write() as uow:
        for view in VIEWS.values():
            uow.execute(update(view.table).values(doc="{}"))
        uow.execute(delete(SLIPS))
    code, out = rebuild(district, "--check")
    assert code == 1
    assert len(before["slips"]) > read_models_rebuild.MANY
    told = {tuple(line.split()[:4]) for line in out if line.endswith("differed")}
    for name in VIEWS:
        there = len(before[name])
        assert (name, f"{there}", "documents,", f"{there or 'none'}") in told
    rebuild(district)
    after = kept(district)
    for view in VIEWS:
        assert {row[1:] for row in after[view]} == {row[1:] for row in before[view]}


def test_an_event_that_cannot_be_projected_is_one_sentence(make_district):
    district = make_district()
    district.begin()
    district.register()
    with district.store("gateway").write() as uow:
        uow.execute(update(events).where(events.c.type == "enterprise-registered").values(body=""))
    code, _, errors = bihuan("rebuild", **environ(district))
    assert (code, len(errors)) == (1, 1)
    assert errors[0].startswith("bihuan: Event 2 cannot be read: enterprise-registered is not")
    code, _, errors = bihuan("rebuild", "streets", **environ(district))
    assert (code, len(errors)) == (2, 1)
    assert errors[0].startswith("bihuan: Unknown read model streets. Read models: enterprises,")


def test_an_event_that_no_longer_fits_is_named(make_district, tmp_path, monkeypatch):
    district = make_district()
    district.begin()
    district.reopened()
    monkeypatch.setitem(VIEWS["slips"].changes, PromptSlipIssued, lambda document, _: document["x"])
    beside = Store("gateway", f"sqlite:///{tmp_path}/beside.db", metadata)
    with pytest.raises(NotProjectable, match=r"prompt-slip-issued. cannot be projected: KeyError"):
        Rebuilding(district.store("gateway"), beside, repair=False).run(lambda *_: None)
    beside.close()


# on PostgreSQL, where transactions overlap


@pytest.fixture
def rebuilt(distributed, tmp_path):
    """Start a rebuild in a green thread."""
    beside = Store("gateway", f"sqlite:///{tmp_path}/beside.db", metadata)

    def start():
        uow = Rebuilding(distributed.store("gateway"), beside, repair=True)
        return eventlet.spawn(uow.run, lambda *_: None)

    yield start
    beside.close()


def test_what_a_gateway_has_loaded_is_not_repaired_before_it_is_written(distributed, rebuilt):
    from services.gateway.read_models.rebuild import _message

    distributed.begin()
    shop = distributed.register()
    (known,) = (row for row in kept(distributed)["events"] if row.type == "enterprise-registered")
    with distributed.store("gateway").write() as uow:
        uow.execute(update(ENTERPRISES).values(grid="nowhere"))
    with distributed.store("gateway").write() as uow:
        distributed.service("gateway").before_batch([_message(known)], uow)
        rebuilding = rebuilt()
        eventlet.sleep(0.5)
        assert not rebuilding.dead
        assert kept(distributed)["enterprises"][0].grid == "nowhere"
    assert rebuilding.wait().differing["enterprises"] == {shop: "changed"}
    assert kept(distributed)["enterprises"][0].grid == "350503003"
