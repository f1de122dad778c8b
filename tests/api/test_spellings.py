"""One person in six spellings is one person; strangers who give no phone are strangers."""

import json

import pytest
from sqlalchemy import select

from console.demo.synthetic import identity_number
from services.gateway import person_keys
from services.gateway.access.callers import Caller
from services.gateway.commands import parsing
from services.gateway.privacy.erasure import Erasing
from services.gateway.resources.roles import Role
from services.insurance.model import Medic
from tests.api.conftest import problem

NUMBER = "350503199003078515"
SPELLINGS = (
    NUMBER,
    "３５０５０３１９９００３０７８５１５",
    "350503 19900307 8515",
    "350503-19900307-8515",
    f"{NUMBER}\u200b",
    "35050319900307851\u200d5",
)
CALLERS = (
    ("甲", "不詳"),
    ("乙", "不詳"),
    ("丙", "1.39E+10"),
    ("丁", "1.39E+10"),
    ("戊", "13666660000"),
    ("戊", "１３６６６６６００００"),
    ("戊", "0086 13666660000"),
)


def as_ndjson(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def batch(district, path, rows):
    headers = {"Content-Type": "application/x-ndjson", "Prefer": "wait=60"}
    answer = district.client.request("POST", path, headers=headers, raw=as_ndjson(rows))
    return answer.json()["items"]


def spelled_like(spelling, number):
    """Spell another number as one of the six is."""
    digits, wide = iter(number), ord("０") - ord("0")
    return "".join(
        chr(ord(next(digits)) + (0 if each.isascii() else wide)) if each.isdecimal() else each
        for each in spelling
    )


def medics(district):
    district.settle()
    with district.store("insurance").engine.connect() as connection:
        return connection.execute(select(Medic.holder_ref)).scalars().all()


def person_of(district, complaint):
    """Tell who is taken to have called."""
    erasing = Erasing(district.service("gateway").components.person_keys)
    (person,) = erasing.persons_of(f"complaints/{complaint}")
    return person


def opened(district, complaint):
    client = district.client_as(Caller("desk-3", frozenset({Role.HOTLINE_DESK})))
    path = f"/v1/complaints/{complaint}/openings"
    return client.request("POST", path, {"reason": "回電核實"})


def test_one_person_in_six_spellings_is_insured_once(district):
    row = {"name": "甲某", "institution": "豐澤區醫院"}
    before = medics(district)
    items = batch(district, "/v1/medics/batch", [row | {"identity": said} for said in SPELLINGS])
    assert [item["status"] for item in items] == [201, 409, 409, 409, 409, 409]
    assert {item["problem"]["errors"][0]["pointer"] for item in items[1:]} == {"#/identity"}
    assert len(medics(district)) == len(before) + 1


@pytest.mark.parametrize("spelling", SPELLINGS[1:])
def test_one_by_one_too_each_spelling_is_the_same_person(district, say, spelling):
    number = identity_number(next(district.codes) + 80_000)
    said = spelled_like(spelling, number)
    district.client.post("/v1/medics", say.medic(identity=said))
    before = medics(district)
    for each in (number, said, f" {number.lower()} "):
        answer = district.client.request("POST", "/v1/medics", say.medic(identity=each))
        problem(answer, 409, "#/identity")
    assert medics(district) == before


def test_who_was_enrolled_with_15_digits_is_the_same_person(district, say):
    number = identity_number(77_000)
    district.client.post("/v1/medics", say.medic(identity=number))
    shorter = say.medic(identity=number[:6] + number[8:-1])
    problem(district.client.request("POST", "/v1/medics", shorter), 409, "#/identity")


@pytest.mark.parametrize(
    "said", ["不詳", "123", "13800000000", "350503199013018515", "\u200b", "000000000000000"]
)
def test_what_is_no_paper_of_any_kind_is_refused_with_what_is(district, say, unchanged, said):
    told = problem(district.client.request("POST", "/v1/medics", say.medic(identity=said)), 422,
                   "#/identity")  # fmt: skip
    (error,) = told["errors"]
    assert "identity card (GB 11643)" in error["detail"]
    assert "passport" in error["detail"]
    assert said not in json.dumps(told, ensure_ascii=False)


def test_other_papers_are_accepted(district, say):
    for said in ("E 1234567 8", "H87654321", "08765432", "CAN110108167905", "軍字第2001988號"):
        district.client.post("/v1/medics", say.medic(identity=said))
    problem(district.client.request("POST", "/v1/medics", say.medic(identity="h8765432103")), 409,
            "#/identity")  # fmt: skip


def test_strangers_without_a_phone_are_strangers_and_one_phone_is_one_person(district):
    shop = district.register()
    row = {"track": "report", "channel": "12315", "content": "x", "enterprise_id": shop}
    rows = [row | {"caller": caller, "phone": phone} for caller, phone in CALLERS]
    items = batch(district, "/v1/complaints/batch", rows)
    assert [item["status"] for item in items] == [201] * 7
    district.settle()
    persons = [person_of(district, item["location"].rpartition("/")[2]) for item in items]
    assert len({*persons[:4]}) == 4, "four strangers"
    assert len({*persons[4:]}) == 1, "one who has called three times"
    assert not {*persons[:4]} & {*persons[4:]}


def test_destroying_one_stranger_leaves_the_others_readable(district):
    made = [district.complain(caller=caller, phone=phone, against="某店")
            for caller, phone in CALLERS]  # fmt: skip
    shown = [opened(district, complaint).json() for complaint in made]
    assert [(one["caller"], one["phone"]) for one in shown] == [*CALLERS], "as it was given"
    people = district.service("gateway").components.person_keys
    with people.store.write() as uow:
        assert people.destroy(uow, person_of(district, made[0]), "operator") == 1
    assert [opened(district, complaint).status for complaint in made] == [410, *[201] * 6]


def test_a_worker_twice_on_a_roster_is_told_of_however_spelled(district):
    shop = district.reopened()
    rows = [{"worker": said, "home": "350503"} for said in ("A-1", "ａ—１", "A-1\u200b", "A1")]
    path = f"/v1/enterprises/{shop}/roster/lines?day={district.today}"
    headers = {"Content-Type": "application/x-ndjson"}
    answer = district.client.request("POST", path, headers=headers, raw=as_ndjson(rows))
    assert answer.status < 300, answer.data
    told = {one["row"]: one["errors"] for one in answer.json()["rows"] if one.get("errors")}
    assert told.keys() == {2, 3}
    nobody = [{"worker": "\u200b", "home": "350503"}]
    answer = district.client.request("POST", path, headers=headers, raw=as_ndjson(nobody))
    problem(answer, 422, "#/1/worker")


@pytest.mark.parametrize("spell", [lambda code: code.translate(
    {ord(each): ord(each) + 0xFEE0 for each in code}), lambda code: f"{code[:6]} {code[6:]}",
    lambda code: f"{code}\u200b", str.lower])  # fmt: skip
def test_no_spelling_of_a_code_makes_a_second_enterprise(district, say, spell):
    """A credit code and a registration number are refused in any form but their own."""
    shop = say.enterprise()
    district.client.post("/v1/enterprises", shop)
    again = shop | {"credit_code": spell(shop["credit_code"])}
    if again != shop:
        problem(district.client.request("POST", "/v1/enterprises", again), 422, "#/credit_code")


def test_what_is_too_long_to_be_anybodys_is_looked_at_by_nobody(district, monkeypatch):
    """Its normal form may be many times as long, and takes as long to make."""
    looked = []
    for place, name in ((person_keys, "phone_of"), (parsing, "number_of")):
        monkeypatch.setattr(place, name, noting(looked, getattr(place, name)))
    long = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 100_000
    complaint = {"track": "report", "channel": "12315", "content": "x", "against": "某店"}
    refused = district.client.request("POST", "/v1/complaints", complaint | {"phone": long})
    assert [error["pointer"] for error in refused.json()["errors"]] == ["#/phone"]
    medic = {"name": "某", "institution": "豐澤區醫院", "identity": long}
    refused = district.client.request("POST", "/v1/medics", medic)
    assert [error["pointer"] for error in refused.json()["errors"]] == ["#/identity"]
    assert max(map(len, looked), default=0) <= parsing.LONGEST_SEALED


def noting(looked, act):
    """Note at what a function looks."""

    def noted(text, *more):
        looked.append(text)
        return act(text, *more)

    return noted
