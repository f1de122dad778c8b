"""What is personal is opened to a role that may see it, for a reason, on record; and to nobody once
the key is destroyed."""

import itertools
import json

import pytest
from sqlalchemy import func, select

from services.gateway.access.callers import Caller
from services.gateway.event_log.chain import AUDIT
from services.gateway.person_keys import by_identity, by_phone
from services.gateway.resources.roles import Role
from services.gateway.tables import audit, commands, person_keys
from tests.api.conftest import problem
from tests.api.test_openapi import check

QUANXIU, QINGYUAN = "350503003", "350503004"
CALLER, PHONE = "歐陽訴人", "13859761234"
MEDIC, IDENTITY, CLAIMANT = "司徒醫師", "350503197905051231", "上官遺屬"
KEYS = itertools.count()


@pytest.fixture(scope="module")
def things(district):
    """A complaint in a grid, a medic, and a claim, by the names of their lists."""
    client = district.client
    shop = district.reopened(grid=QUANXIU)
    medic = {"name": MEDIC, "identity": IDENTITY, "institution": "豐澤區醫院"}
    made = {"complaints": district.complain(shop, caller=CALLER, phone=PHONE)}
    made["medics"] = client.post("/v1/medics", medic)["medic_id"]
    district.settle()
    (policy,) = client.everything(f"/v1/policies?holder_id={made['medics']}")
    claim = {"policy_id": policy["id"], "casualty": "death", "occurred_on": str(district.today)}
    made["claims"] = client.post("/v1/claims", claim | {"claimant": CLAIMANT})["claim_id"]
    district.settle()
    return made


def desk(district, role=Role.HOTLINE_DESK, name="desk-3", **more):
    return district.client_as(Caller(name, frozenset({role}), **more))


def opening(client, name, identity, body=None, key=None):
    headers = {"Idempotency-Key": key or f"opening-{next(KEYS)}"}
    path = f"/v1/{name}/{identity}/openings"
    return client.request("POST", path, {"reason": "回電核實"} if body is None else body, headers)


def entries(district):
    with district.store("gateway").engine.connect() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.position)).all()
    return [row for row in rows if row.what.startswith("open-")]


# who may


@pytest.mark.parametrize(
    ("name", "role", "shown"),
    [
        ("complaints", Role.HOTLINE_DESK, {"caller": CALLER, "phone": PHONE}),
        ("medics", Role.INSURER, {"name": MEDIC, "identity": IDENTITY}),
        ("claims", Role.INSURER, {"claimant": CLAIMANT}),
    ],
)
def test_a_role_that_may_sees_it_in_clear_and_it_is_on_record(district, things, name, role, shown):
    before = len(entries(district))
    answer = opening(desk(district, role, "chen"), name, things[name])
    assert answer.status == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert shown.items() <= answer.json().items()
    check(answer, "POST", f"/v1/{name}/<id>/openings")
    (entry,) = entries(district)[before:]
    assert (entry.who, entry.about) == ("chen", things[name])
    content = json.loads(entry.content)
    assert content["reason"] == "回電核實"
    assert content["roles"] == [role]
    assert content["shown"] == sorted(shown)
    assert content["command_id"] == answer.json()["opening_id"]
    assert AUDIT.verify(district.store("gateway"))[1] is None


@pytest.mark.parametrize("name", ["complaints", "medics", "claims"])
def test_the_district_office_and_the_auditor_see_nobody(district, things, name):
    for role in (Role.DISTRICT_OFFICE, Role.AUDITOR, Role.OPERATOR, Role.DEPARTMENT):
        problem(opening(desk(district, role), name, things[name]), 403)


def test_an_agency_head_opens_in_the_own_grid_only(district, things):
    before = len(entries(district))
    mine = desk(district, Role.AGENCY_HEAD, "head-3", grids=frozenset({QUANXIU}))
    other = desk(district, Role.AGENCY_HEAD, "head-4", grids=frozenset({QINGYUAN}))
    assert opening(mine, "complaints", things["complaints"]).json()["caller"] == CALLER
    problem(opening(other, "complaints", things["complaints"]), 404)
    problem(opening(mine, "complaints", "nothing"), 404)
    assert len(entries(district)) == before + 1


def test_one_who_speaks_for_others_names_who_it_is_for(district, things):
    client = desk(district, name="desk-system", speaks_for_others=True)
    body = {"reason": "回電核實", "by": "clerk-9"}
    assert opening(client, "complaints", things["complaints"], body).status == 201
    entry = entries(district)[-1]
    assert (entry.who, json.loads(entry.content)["caller"]) == ("clerk-9", "desk-system")
    refused = opening(desk(district), "complaints", things["complaints"], body)
    problem(refused, 403, "#/by")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({}, "#/reason"), ({"reason": "  "}, "#/reason"), ({"reason": "是", "x": 1}, "#/x"),
     ({"reason": 5}, "#/reason"), ({"reason": "字" * 2001}, "#/reason")],
)  # fmt: skip
def test_without_a_reason_nothing_is_opened(district, things, body, pointer):
    before = len(entries(district))
    problem(opening(desk(district), "complaints", things["complaints"], body), 422, pointer)
    assert len(entries(district)) == before


def test_a_complaint_of_nobody_has_nothing_to_open(district):
    asked = {"track": "report", "channel": "12315", "content": "堂食", "against": "某店"}
    made = district.client.post("/v1/complaints", asked)["complaint_id"]
    district.settle()
    problem(opening(desk(district), "complaints", made), 404)


# repeats


def test_a_repeat_has_an_equal_answer_and_no_second_entry(district, things):
    client = desk(district)
    first = opening(client, "complaints", things["complaints"], key="again")
    before = len(entries(district))
    second = opening(client, "complaints", things["complaints"], key="again")
    assert (second.status, second.json()) == (201, first.json())
    assert len(entries(district)) == before
    changed = opening(client, "complaints", things["complaints"], {"reason": "另一事"}, key="again")
    problem(changed, 422)


def test_what_is_kept_of_an_opening_holds_nobody(district, things):
    made = opening(desk(district), "complaints", things["complaints"]).json()
    with district.store("gateway").engine.connect() as connection:
        query = select(commands).where(commands.c.id == made["opening_id"])
        row = connection.execute(query).one()
    assert not [word for word in (CALLER, PHONE) if word in str(row)]
    told = desk(district).get(f"/v1/commands/{made['opening_id']}")
    assert told["result"]["id"] == things["complaints"]
    assert not [word for word in (CALLER, PHONE) if word in json.dumps(told, ensure_ascii=False)]


def test_a_repeated_command_is_known_again_although_it_is_sealed_anew(district):
    asked = {"track": "report", "channel": "12315", "content": "堂食", "against": "某店"}
    asked |= {"caller": CALLER, "phone": PHONE}
    made = [
        district.client.post("/v1/complaints", asked, Idempotency_Key="the-same") for _ in range(3)
    ]
    assert made[0] == made[1] == made[2]


# whose key


def keys_of(district, person):
    with district.store("gateway").engine.connect() as connection:
        query = select(person_keys).where(person_keys.c.person == person)
        return connection.execute(query.order_by(person_keys.c.created_at)).all()


def seal_of(district):
    return district.service("gateway").components.seal


def test_a_person_has_one_key_however_often_they_call(district):
    for phone in ("13900001111", "139 0000 1111", "+86 139-0000-1111"):
        district.complain(phone=phone, against="某店")
    assert len(keys_of(district, by_phone(seal_of(district), "13900001111"))) == 1


def test_who_gives_neither_number_nor_phone_is_somebody_else_each_time(district):
    def count():
        with district.store("gateway").engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(person_keys))

    before = count()
    for _ in range(2):
        district.complain(phone=None, against="某店")
    assert count() == before + 2


def test_a_refused_request_leaves_no_key(district):
    body = {"name": MEDIC, "identity": "350503199909099098", "institution": ""}
    problem(district.client.request("POST", "/v1/medics", body), 422, "#/institution")
    assert keys_of(district, by_identity(seal_of(district), "350503199909099098")) == []


def test_a_roster_makes_no_keys_and_its_names_go_nowhere(district):
    shop = district.reopened()
    person = {"worker": "A-1", "name": "獨孤工人", "home": "350503"}
    headers = {"Content-Type": "application/x-ndjson"}
    path = f"/v1/enterprises/{shop}/roster/lines?day={district.today}"
    with district.store("gateway").engine.connect() as connection:
        before = connection.scalar(select(func.count()).select_from(person_keys))
    raw = json.dumps(person).encode()
    assert district.client.request("POST", path, headers=headers, raw=raw).status == 200
    with district.store("gateway").engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(person_keys)) == before
    refused = json.dumps(person | {"name": "獨" * 81}).encode()
    problem(district.client.request("POST", path, headers=headers, raw=refused), 422, "#/1/name")


# destruction


def test_what_was_sealed_with_a_destroyed_key_is_gone_and_later_data_is_not(district):
    phone, client = "13911112222", desk(district)
    before = district.complain(caller="夏侯君", phone=phone, against="某店")
    assert opening(client, "complaints", before, key="earlier").status == 201
    people, person = (
        district.service("gateway").components.person_keys,
        by_phone(seal_of(district), phone),
    )
    with people.store.write() as uow:
        assert people.destroy(uow, person, "operator") == 1
    for key in ("earlier", "later"):
        gone = problem(opening(client, "complaints", before, key=key), 410)
        assert gone["type"] == "urn:bihuan:problem:destroyed"
    check(opening(client, "complaints", before), "POST", "/v1/complaints/<id>/openings")
    (row,) = keys_of(district, person)
    assert (row.wrapped, row.wrapped_by, row.destroyed_by) == (None, None, "operator")
    after = district.complain(caller="夏侯君", phone=phone, against="某店")
    assert opening(client, "complaints", after).json()["caller"] == "夏侯君"
    problem(opening(client, "complaints", before), 410)
    with people.store.write() as uow:
        assert people.destroy(uow, person, "operator") == 1
        assert people.destroy(uow, person, "operator") == 0


def test_a_destroyed_medic_is_not_taken_for_a_new_one(district, say):
    medic = say.medic()
    made = district.client.post("/v1/medics", medic)["medic_id"]
    people = district.service("gateway").components.person_keys
    with people.store.write() as uow:
        people.destroy(uow, by_identity(people.seal, medic["identity"]), "operator")
    problem(district.client.request("POST", "/v1/medics", medic), 409, "#/identity")
    problem(opening(desk(district, Role.INSURER), "medics", made), 410)
