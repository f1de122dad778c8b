"""Personal data is in no answer, and in clear in no file."""

import itertools
import json

import pytest
from sqlalchemy import select

from console.demo.synthetic import identity_number
from services.gateway.resources import VIEWS
from services.gateway.tables import commands, person_keys
from services.insurance.model import Medic

CALLER, PHONE, MEDIC, IDENTITY, CLAIMANT, SECOND = (
    "歐陽訴人",
    "13859761234",
    "司徒醫師",
    "350503197905051231",
    "上官遺屬",
    "諸葛護士",
)
PERSONAL = (CALLER, PHONE, MEDIC, IDENTITY, CLAIMANT, SECOND)
SEALED = ("caller", "phone", "claimant", "identity")


@pytest.fixture(scope="module")
def answers(district):
    """Tell the district of people, in every way there is; give every answer that it gave."""
    client, keys, heard = district.client, itertools.count(1), []

    def post(path, body, kind="application/json", *, status=201):
        headers = {"Content-Type": kind, "Idempotency-Key": f"person-{next(keys)}"}
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        for _ in range(2):
            answer = client.request("POST", path, headers=headers, raw=raw)
            assert answer.status == status, answer.data
            heard.append(answer.data)
        return answer.json()

    asked = {"track": "report", "channel": "12315", "content": "堂食", "against": "某店"}
    complaint = post("/v1/complaints", asked | {"caller": CALLER, "phone": PHONE})["complaint_id"]
    post("/v1/complaints", asked | {"caller": CALLER, "channel": "rumour"}, status=422)
    post("/v1/complaints", asked | {"caller": CALLER * 30, "phone": 5}, status=422)
    said = {"by": "desk-1", "answer": "已處理"}
    post(f"/v1/complaints/{complaint}/answer", said, status=200)
    medic = {"name": MEDIC, "identity": IDENTITY, "institution": "豐澤區醫院"}
    made = post("/v1/medics", medic)["medic_id"]
    post("/v1/medics", medic | {"name": SECOND}, status=409)
    post("/v1/medics", medic | {"institution": ""}, status=422)
    rows = [medic | {"name": SECOND, "identity": identity_number(3999)}, medic, {"name": SECOND}]
    text = "\n".join(json.dumps(row) for row in rows)
    batch = post("/v1/medics/batch", text, "application/x-ndjson", status=200)
    assert [item["status"] for item in batch["items"]] == [201, 409, 422]
    text = f"{SECOND},{IDENTITY}\n{MEDIC},{PHONE}\n"
    post("/v1/medics/batch", text, "text/csv", status=422)
    heard.pop()  # it was told that its own first row names no columns
    heard.pop()
    district.settle()
    (policy,) = client.everything(f"/v1/policies?holder_id={made}")
    claim = {"policy_id": policy["id"], "casualty": "death", "occurred_on": str(district.today)}
    post("/v1/claims", claim | {"claimant": CLAIMANT})
    for name in VIEWS:
        things = client.everything(f"/v1/{name}")
        heard += [client.request("GET", f"/v1/{name}/{thing['id']}").data for thing in things]
    heard.append(client.request("GET", f"/v1/complaints/{complaint}/timeline").data)
    heard += [
        client.request("GET", f"/v1/commands/{i}{rest}").data for i, rest in _commands(district)
    ]
    return heard


def _commands(district):
    with district.store("gateway").engine.connect() as connection:
        found = connection.execute(select(commands.c.id, commands.c.rows)).all()
    return [(row.id, "") for row in found] + [(row.id, "/rows") for row in found if row.rows]


def test_no_answer_shows_a_person(answers):
    assert len(answers) > 30
    for answer in answers:
        text = answer.decode() + json.dumps(json.loads(answer), ensure_ascii=False)
        assert not [word for word in PERSONAL if word in text]


def test_no_answer_shows_what_was_sealed(district, answers):
    with district.store("gateway").engine.connect() as connection:
        keys = [*connection.scalars(select(person_keys.c.id))]
    keys.append(district.service("gateway").components.seal.key_id)
    for answer in answers:
        assert not [key for key in keys if f'"{key}.' in answer.decode()]
    for answer in answers:
        said = json.loads(answer)
        assert not [name for name in SEALED if name in said]
    medics = district.client.everything("/v1/medics")
    assert medics
    assert not [medic for medic in medics if "name" in medic]


def test_no_file_holds_a_person_in_clear(district, answers):
    files = [path for path in district.running.settings.data.rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".db"]) == 5
    written = b"".join(path.read_bytes() for path in files)
    assert "某店".encode() in written
    for word in PERSONAL:
        for form in (word.encode(), json.dumps(word)[1:-1].encode(), word.encode("utf-16-le")):
            assert form not in written, word


def test_the_services_that_need_a_person_have_them_sealed(district, answers):
    people = district.service("gateway").components.person_keys
    with district.store("insurance").engine.connect() as connection:
        names = [*connection.scalars(select(Medic.name))]
    with people.store.read() as session:
        clear = {people.open(session, {"name": name})["name"] for name in names}
    assert clear == {MEDIC, SECOND}
