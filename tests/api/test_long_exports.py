"""A file is read page by page; a long one is made first, whichever gateway lives on to do it."""

from copy import copy

import pytest
from sqlalchemy import event, func, select

from chassis.storage.retention import DAY, Retention
from services.gateway.access.callers import Caller
from services.gateway.exports import endpoints, formats, jobs
from services.gateway.read_models.list_query import ListQuery
from services.gateway.read_models.queries import Reads
from services.gateway.resources import VIEWS
from services.gateway.resources.roles import Role
from services.gateway.tables import export_chunks
from services.gateway.tables import exports as kept
from tests.api.conftest import problem
from tests.api.exported import (
    book_of,
    ended,
    get,
    ids,
    made,
    rows_of,
    sheet_rows,
    shops_of_every_kind,
)
from tests.receivers import until


@pytest.fixture(scope="module")
def shops(district):
    return shops_of_every_kind(district)


# page by page


def test_a_file_is_read_page_by_page(district, shops, monkeypatch):
    read, noted = Reads._rows, []

    def note(self, connection, view, asked):
        noted.append((view.name, asked.limit))
        return read(self, connection, view, asked)

    monkeypatch.setattr(endpoints, "PAGE", 2)
    monkeypatch.setattr(Reads, "_rows", note)
    rows = len(rows_of(get(district.client, "/v1/enterprises?format=csv")))
    assert noted == [("enterprises", 2)] * -(-rows // 2)


def test_nothing_is_held_of_the_database_while_somebody_reads_slowly(district, shops):
    reads, view = Reads(district.store("gateway")), VIEWS["enterprises"]
    taken, given = [], []
    event.listen(reads.store.engine, "checkout", lambda *_: taken.append(1))
    event.listen(reads.store.engine, "checkin", lambda *_: given.append(1))
    export = formats.Export(view, reads.as_of())
    pieces = formats.CSV.write(export, reads.pages(view, ListQuery(limit=2)))
    first = next(pieces)
    assert len(taken) == len(given) > 0
    late = district.register(name="後來者")
    rest = b"".join(pieces)
    assert late.encode() in rest
    assert late.encode() not in first


def test_a_file_that_breaks_off_does_not_pass_for_a_whole_one(district, shops, monkeypatch):
    monkeypatch.setattr(endpoints, "PAGE", 1)
    pages = Reads.pages

    def broken(self, view, asked):
        found = pages(self, view, asked)
        for _ in range(5):
            yield next(found) * 20
        raise RuntimeError

    monkeypatch.setattr(Reads, "pages", broken)
    with pytest.raises(Exception, match=r"(?i)connection broken|incomplete"):
        get(district.client, "/v1/enterprises?format=csv")


# long ones


@pytest.mark.parametrize(
    ("name", "read"), [("csv", rows_of), ("xlsx", lambda a: sheet_rows(book_of(a).active))]
)
def test_a_long_list_is_made_and_then_read_where_the_answer_points(
    district, shops, small, name, read
):
    path = f"/v1/enterprises?sort=name&format={name}"
    expected = ids(district.client.everything("/v1/enterprises?sort=name"))
    answer = get(district.client, path)
    file = made(district.client, answer)
    assert ids(read(file)) == expected
    told = district.client.get(answer.headers["Location"])
    assert (told["rows"], told["size"]) == (len(expected), len(file.data))
    assert file.headers["Content-Length"] == str(told["size"])
    as_of = told["as_of"]
    assert file.headers["As-Of"] == f'position={as_of["position"]}, time="{as_of["time"]}"'
    assert f"enterprises-{district.today}.{name}" in file.headers["Content-Disposition"]
    with district.store("gateway").read() as session:
        query = select(func.count()).where(export_chunks.c.export_id == told["export_id"])
        assert session.scalar(query) > (1 if name == "csv" else 0)


def test_a_long_file_equals_the_one_that_is_given_at_once(district, shops, monkeypatch):
    path = "/v1/enterprises?format=csv&sort=-registered_on"
    at_once = get(district.client, path)
    monkeypatch.setattr(endpoints, "MOST_AT_ONCE", 4)
    assert made(district.client, get(district.client, path)).data == at_once.data


def test_as_many_rows_as_the_limit_are_given_at_once(district, shops, monkeypatch):
    rows = len(district.client.everything("/v1/enterprises"))
    monkeypatch.setattr(endpoints, "MOST_AT_ONCE", rows)
    assert get(district.client, "/v1/enterprises?format=csv").status == 200
    monkeypatch.setattr(endpoints, "MOST_AT_ONCE", rows - 1)
    assert get(district.client, "/v1/enterprises?format=csv").status == 202


def test_asked_for_again_it_is_the_same_one_but_not_another_callers_nor_another_list(
    district, shops, small
):
    def asked(path="/v1/enterprises?format=csv&sort=name", client=district.client):
        answer = get(client, path)
        assert answer.status == 202
        ended(client, answer)
        return answer.json()["export_id"]

    first = asked()
    assert asked() == first
    assert asked("/v1/enterprises?sort=name&format=csv") == first
    other = district.client_as(Caller("other", frozenset({Role.DISTRICT_OFFICE})))
    found = {
        first,
        asked("/v1/enterprises?format=xlsx&sort=name"),
        asked("/v1/enterprises?format=csv&sort=-name"),
        asked(client=other),
    }
    assert len(found) == 4


def test_an_export_is_seen_by_nobody_but_who_asked_for_it(district, shops, small):
    answer = get(district.client, "/v1/enterprises?format=csv")
    ended(district.client, answer)
    other = district.client_as(Caller("other", frozenset(Role)))
    for path in (answer.headers["Location"], f"{answer.headers['Location']}/file"):
        assert get(district.client, path).status == 200
        problem(get(other, path), 404)
        problem(get(district.client, f"{path}?format=csv"), 400)
    problem(get(district.client, "/v1/exports/unknown"), 404)
    operator = district.client_as(Caller("tester", frozenset({Role.OPERATOR})))
    problem(get(operator, answer.headers["Location"]), 403)
    insurer = district.client_as(Caller("tester", frozenset({Role.DEPARTMENT, Role.INSURER})))
    assert get(insurer, f"{answer.headers['Location']}/file").status == 200


def test_the_file_of_a_list_that_the_caller_may_no_longer_read_is_not_given(district, shops, small):
    answer = get(district.client, "/v1/slips?format=csv")
    ended(district.client, answer)
    insurer = district.client_as(Caller("tester", frozenset({Role.INSURER})))
    problem(get(insurer, f"{answer.headers['Location']}/file"), 403)


def test_an_export_whose_asker_may_not_read_the_list_when_it_is_made_fails(
    district, shops, small, monkeypatch
):
    unreadable = copy(VIEWS["enterprises"])
    object.__setattr__(unreadable, "readers", frozenset())
    monkeypatch.setitem(jobs.VIEWS, "enterprises", unreadable)
    answer = get(district.client, "/v1/enterprises?format=csv&sort=on_duty")
    told = ended(district.client, answer)
    assert (told["state"], told["problem"]["status"]) == ("failed", 403)
    problem(get(district.client, f"{answer.headers['Location']}/file"), 409)
    monkeypatch.undo()
    monkeypatch.setattr(endpoints, "MOST_AT_ONCE", 4)
    again = get(district.client, "/v1/enterprises?format=csv&sort=on_duty")
    assert again.json()["export_id"] != told["export_id"]
    assert ended(district.client, again)["state"] == "done"


def test_an_export_that_cannot_be_written_fails_and_says_so(district, shops, small, monkeypatch):
    def broken(export, pages):
        yield b"begun"
        raise RuntimeError

    broken_csv = formats.Format("csv", "text/csv", broken)
    monkeypatch.setitem(formats.FORMATS, "csv", broken_csv)
    told = ended(district.client, get(district.client, "/v1/enterprises?format=csv&sort=-on_duty"))
    assert told["state"] == "failed"
    assert told["problem"]["type"] == "urn:bihuan:problem:export-broke-off"


# what becomes of it


@pytest.fixture
def idle(make_district, monkeypatch, small):
    """A district in which nobody writes exports until told so, with six shops."""
    run = jobs.Exporting.run
    monkeypatch.setattr(jobs.Exporting, "run", lambda _self: None)
    monkeypatch.setattr(jobs, "LOOK_EVERY", 0.05)
    district = make_district()
    district.begin()
    for _ in range(6):
        district.register()
    district.carry_on = lambda: monkeypatch.setattr(jobs.Exporting, "run", run)
    return district


def another(district):
    """Return another gateway's exporting, on the same database."""
    gateway = district.service("gateway")
    return jobs.Exporting(gateway.components.exporting.reads, gateway.rulebook)


def test_an_export_survives_the_gateway_that_was_asked_for_it(idle, make_district):
    answer = get(idle.client, "/v1/enterprises?format=csv")
    assert answer.json()["state"] == "pending"
    assert answer.headers["Retry-After"] == "1"
    expected = ids(idle.client.everything("/v1/enterprises"))
    problem(get(idle.client, f"{answer.headers['Location']}/file"), 409)
    idle.stop()
    idle.carry_on()
    later = make_district(data=idle.running.settings.data)
    assert ids(rows_of(made(later.client, answer))) == expected


def test_what_a_gateway_leaves_when_it_stops_another_begins_at_once(idle):
    answer = get(idle.client, "/v1/enterprises?format=csv")
    one, two = another(idle), another(idle)
    row = one._claim()
    assert two._claim() is None
    one.close()
    assert one._claim() is None
    two._export(two._claim())
    with pytest.raises(jobs._Lost), idle.store("gateway").write() as uow:
        one._renew(uow, row.id)
    assert rows_of(made(idle.client, answer))


def test_what_a_dead_gateway_has_begun_another_writes_anew_when_the_lease_ends(idle, monkeypatch):
    answer = get(idle.client, "/v1/enterprises?format=csv")
    dead, alive = another(idle), another(idle)
    monkeypatch.setattr(jobs, "LEASE", -1.0)
    row = dead._claim()
    with idle.store("gateway").write() as uow:
        place = {"id": "left", "export_id": row.id, "number": 0, "content": b"left behind"}
        uow.execute(export_chunks.insert(), place)
    monkeypatch.setattr(jobs, "LEASE", 30.0)
    taken = alive._claim()
    assert taken.id == row.id
    dead._export(row)  # it was only asleep, and writes nothing any more
    alive._export(taken)
    rows = rows_of(made(idle.client, answer))
    assert ids(rows) == ids(idle.client.everything("/v1/enterprises"))


def test_an_export_that_ends_its_gateway_again_and_again_fails(idle, monkeypatch):
    answer = get(idle.client, "/v1/enterprises?format=csv")
    monkeypatch.setattr(jobs, "LEASE", -1.0)
    for _ in range(jobs.MOST_ATTEMPTS):
        assert another(idle)._claim() is not None
    monkeypatch.setattr(jobs, "LEASE", 30.0)
    last = another(idle)
    last._export(last._claim())
    assert idle.client.get(answer.headers["Location"])["state"] == "failed"


def test_a_lease_is_renewed_and_tells_how_far_the_export_has_come(idle):
    answer = get(idle.client, "/v1/enterprises?format=csv")
    one = another(idle)
    row = one._claim()
    one._rows = 4
    with idle.store("gateway").write() as uow:
        one._renew(uow, row.id)
    told = idle.client.get(answer.headers["Location"])
    assert (told["state"], told["rows"]) == ("pending", 4)


def test_exports_go_after_a_day_with_their_files(idle):
    answer = get(idle.client, "/v1/enterprises?format=csv")
    one = another(idle)
    one._export(one._claim())
    host = idle.running.hosts["gateway"]
    retention_policies = type(host.service).retention_policies
    retention = Retention(host.store, host.settings, retention_policies, lambda: True)
    with host.store.read() as session:
        asked_at = session.scalar(select(kept.c.asked_at))
    gone = retention.sweep(asked_at + 0.9 * DAY)
    assert (gone["exports"], gone["export_chunks"], gone["commands"]) == (0, 0, 0)
    gone = retention.sweep(asked_at + 1.1 * DAY)
    assert gone["exports"] == 1
    assert gone["export_chunks"] > 1
    assert gone["commands"] == 0
    problem(get(idle.client, answer.headers["Location"]), 404)


def test_a_file_that_goes_while_it_is_read_does_not_pass_for_a_whole_one(idle):
    get(idle.client, "/v1/enterprises?format=csv")
    one = another(idle)
    one._export(one._claim())
    with idle.store("gateway").read() as session:
        row = session.execute(select(kept)).first()
    pieces = one.content(row)
    next(pieces)
    with idle.store("gateway").write() as uow:
        uow.execute(export_chunks.delete())
    with pytest.raises(jobs.ExportBrokeOff):
        next(pieces)


def test_an_export_that_cannot_even_be_ended_ends_nothing_else(district, shops, small, monkeypatch):
    exporting = district.service("gateway").components.exporting
    end, failed = exporting._end, []

    def fail(row, *given, **named):
        if not failed or row.id == failed[0]:
            failed.append(row.id)
            raise RuntimeError("nobody has thought of that")
        return end(row, *given, **named)

    monkeypatch.setattr(exporting, "_end", fail)
    get(district.client, "/v1/enterprises?format=csv&sort=registered_on")
    until(lambda: failed)
    assert made(
        district.client, get(district.client, "/v1/enterprises?format=xlsx&sort=registered_on")
    )
    assert district.client.request("GET", "/livez").status == 200
