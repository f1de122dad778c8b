"""What is stored under many spellings is moved under one, and what cannot be is told of."""

import json
import secrets
from contextlib import contextmanager

import pytest
from sqlalchemy import select

from chassis.sealing import KeyFile
from console.cli import moving
from console.demo.synthetic import identity_number
from services.gateway.access.callers import Caller
from services.gateway.commands import parsing
from services.gateway.event_log.chain import AUDIT
from services.gateway.person_keys import Known, by_identity, by_phone, once_by_phone
from services.gateway.resources.roles import Role
from services.gateway.tables import audit, person_keys
from services.insurance.model import Claim, Medic
from tests.console.conftest import here

NUMBER, OTHER, THIRD = (identity_number(number) for number in (5001, 5002, 5003))
PHONE, FULL, ABROAD = "13859761234", "１３８５９７６１２３４", "0086 13859761234"
NAMES = ("歐陽訴人", "司徒醫師", "諸葛護士")
EMBEDDED = {"DATABASE_URL": "", "AMQP_URI": ""}


class Office:
    """Somebody at the operator's command line, beside a district that has stored people as the
    version before did."""

    def __init__(self, district, monkeypatch):
        self.district = district
        self.environ = EMBEDDED | district.environ
        self.store = district.store("gateway")
        self.seal = district.service("gateway").components.seal
        self.monkeypatch = monkeypatch

    @contextmanager
    def before(self):
        """Let the gateway know people as it did."""
        with self.monkeypatch.context() as patch:
            patch.setattr(parsing, "number_of", lambda said, _book: said.strip().upper())
            patch.setattr(
                parsing,
                "known_by_identity",
                lambda seal, _, number: Known(seal.reference(number), []),
            )
            patch.setattr(parsing, "reference_of", _once)
            yield

    def say(self, *words, said="", code=0):
        ended, out, errors = here(self.environ, *words, said=said)
        text = "\n".join([*out, *errors])
        assert ended == code, text
        assert not [word for word in (*NAMES, NUMBER, PHONE, OTHER) if word in text]
        return out if not code else [*out, *errors]

    def kept(self, *words, said=""):
        (line,) = self.say("person", "show", "--json", *words, said=said)
        return json.loads(line)

    def enrol(self, said, name=NAMES[1]):
        medic = {"name": name, "identity": said, "institution": "豐澤區醫院"}
        made = self.district.client.post("/v1/medics", medic)["medic_id"]
        self.district.settle()
        return made

    def call(self, phone, caller=NAMES[0]):
        return self.district.complain(caller=caller, phone=phone, against="某店")

    def status(self, name, identity):
        roles = frozenset({Role.HOTLINE_DESK, Role.INSURER})
        client = self.district.client_as(Caller("desk-3", roles))
        path = f"/v1/{name}/{identity}/openings"
        return client.request("POST", path, {"reason": "核實"}).status

    def persons(self):
        """Return whom each medic is known as: in insurance, and in the gateway's document."""
        self.district.settle()
        with self.district.store("insurance").engine.connect() as connection:
            rows = dict(connection.execute(select(Medic.id, Medic.holder_ref)).all())
        shown = {
            one["id"]: one["holder_ref"] for one in self.district.client.everything("/v1/medics")
        }
        assert rows == shown
        return rows

    def rows(self, table):
        with self.store.engine.connect() as connection:
            return connection.execute(select(table)).all()


def _once(seal, given):
    phone = given.get("phone")
    return once_by_phone(seal, phone) if phone else secrets.token_hex(20)


@pytest.fixture
def office(running, monkeypatch):
    return Office(running, monkeypatch)


# before


def test_who_is_stored_under_the_old_reference_of_a_spelling_is_not_enrolled_again(office):
    with office.before():
        spelled = f"{NUMBER[:6]} {NUMBER[6:]}"
        office.enrol(spelled)
        shorter = OTHER[:6] + OTHER[8:-1]
        office.enrol(shorter)
    for said in (spelled, shorter, OTHER):
        asked = {"name": NAMES[1], "identity": said, "institution": "豐澤區醫院"}
        assert office.district.client.request("POST", "/v1/medics", asked).status == 409


def test_what_was_stored_before_is_found_by_what_was_said_before(office):
    with office.before():
        called = office.call("不詳")
        office.enrol(spelled := NUMBER.lower() + "\u200b")
    assert office.kept("--phone", said="不詳\n")["kept"]["complaints"] == [called]
    assert office.kept("--identity", said=f"{spelled}\n")["kept"]["medics"]


# moving


def test_one_person_in_many_spellings_is_one_after_the_move(office):
    with office.before():
        first = office.enrol(f"{NUMBER[:6]}-{NUMBER[6:]}")
        office.district.client.post(f"/v1/medics/{first}/withdrawal", {"reason": "調離"})
        second = office.enrol(NUMBER[:6] + NUMBER[8:-1])
        calls = [office.call(phone) for phone in (PHONE, FULL, ABROAD)]
    person, caller = by_identity(office.seal, NUMBER), by_phone(office.seal, PHONE)
    assert person not in office.persons().values()
    assert "would move" in office.say("person", "move", "--dry-run", code=1)[0]
    out = office.say("person", "move", "--by", "op-1")
    assert out[0] == "keys of people: 4 moved, to 2 people"
    assert "medics: 2 moved, 0 could not be moved, 0 pending" in out
    assert office.persons() == {first: person, second: person}
    assert office.kept("--phone", said=f"{PHONE}\n")["kept"]["complaints"] == calls
    kept = office.kept(person)
    assert (kept["kept"]["medics"], kept["names"], len(kept["keys"])) == ([first, second], 1, 2)
    assert [office.status("complaints", call) for call in calls] == [201, 201, 201]
    again = office.say("person", "move")
    assert again[0].startswith("keys of people: 0 moved")
    assert office.say("person", "move", "--dry-run")
    assert {row.who for row in office.rows(audit) if row.what == "reidentify-medic"} == {"op-1"}
    assert office.call(FULL)
    assert len(office.kept(caller)["keys"]) == 3, "what comes later has the key that is there"


def test_a_person_who_was_joined_is_destroyed_with_every_key(office):
    with office.before():
        calls = [office.call(phone) for phone in (FULL, ABROAD)]
    later = office.call(PHONE)
    out = office.say("person", "move")
    assert f"  {by_phone(office.seal, PHONE)} has 3 keys now, which are destroyed together" in out
    once = once_by_phone(office.seal, FULL)
    assert office.kept(once)["person"] == by_phone(office.seal, PHONE), "also by an old reference"
    office.say("person", "destroy", once, "--reason", "本人請求", "--yes")
    assert [office.status("complaints", call) for call in (*calls, later)] == [410, 410, 410]
    (entry,) = [row for row in office.rows(audit) if row.what == "destroy-person"]
    assert len(json.loads(entry.content)["keys"]) == 3
    assert AUDIT.verify(office.store)[1] is None
    assert not [row for row in office.rows(person_keys) if row.wrapped]


def test_two_medics_on_record_who_are_one_are_named_and_never_joined_silently(office):
    with office.before():
        first, second = office.enrol(NUMBER), office.enrol(f"{NUMBER}\u200b")
    would = office.say("person", "move", "--dry-run", code=1)
    assert f"  medics/{second} is the same person as medics/{first}: withdraw one of them" in would
    out = office.say("person", "move", code=1)
    assert "medics: 0 moved, 1 could not be moved, 0 pending" in out
    assert f"  medics/{second} is the same person as medics/{first}: withdraw one of them" in out
    person = by_identity(office.seal, NUMBER)
    assert office.persons()[second] != person
    office.district.client.post(f"/v1/medics/{first}/withdrawal", {"reason": "重複登記"})
    office.district.settle()
    office.say("person", "move")
    assert office.persons() == {first: person, second: person}


def test_claims_go_with_the_person_and_two_for_one_casualty_are_told_of(office):
    client, day = office.district.client, office.district.today.isoformat()

    def claim(medic):
        (policy,) = client.everything(f"/v1/policies?holder_id={medic}")
        asked = {"policy_id": policy["id"], "casualty": "death", "occurred_on": day}
        return client.post("/v1/claims", asked)["claim_id"]

    with office.before():
        first = office.enrol(f"{NUMBER[:6]} {NUMBER[6:]}")
        claims = {first: claim(first)}
        client.post(f"/v1/medics/{first}/withdrawal", {"reason": "調離"})
        twice = [office.enrol(said) for said in (OTHER, f"{OTHER}\u200b")]
        claims |= {medic: claim(medic) for medic in twice}
        client.post(f"/v1/medics/{twice[1]}/withdrawal", {"reason": "重複登記"})
        office.district.settle()
    out = office.say("person", "move", code=1)
    assert "medics: 1 moved, 1 could not be moved, 0 pending" in out
    assert any(twice[1] in line and claims[twice[0]] in line for line in out)
    with office.district.store("insurance").engine.connect() as connection:
        persons = dict(connection.execute(select(Claim.id, Claim.person)).all())
    assert persons[claims[first]] == by_identity(office.seal, NUMBER)
    assert persons[claims[twice[1]]] != persons[claims[twice[0]]]
    again = office.enrol(NUMBER)
    (policy,) = client.everything(f"/v1/policies?holder_id={again}")
    asked = {"policy_id": policy["id"], "casualty": "death", "occurred_on": day}
    assert client.request("POST", "/v1/claims", asked).status == 409


def test_strangers_on_one_key_are_counted_and_left(office):
    with office.before():
        calls = [office.call("不詳", caller) for caller in NAMES]
    strangers = once_by_phone(office.seal, "不詳")
    out = office.say("person", "move")
    assert "strangers: 1 that are several people, or may be, and stay" in out
    assert any(line.startswith(f"  {strangers}") for line in out)
    assert office.kept(strangers)["names"] == 3
    later = office.call("不詳")
    office.say("person", "destroy", strangers, "--reason", "x", "--yes", "--names", "3")
    assert [office.status("complaints", call) for call in calls] == [410] * 3
    assert office.status("complaints", later) == 201, "what comes later is somebody else's"


def test_a_stranger_whose_earlier_reference_reads_like_anothers_is_somebody_else(office):
    """The version before took a phone abroad and one of the country for the same digits."""
    with office.before():
        abroad = office.call("+1 (310) 555-1234", caller="歐陽訴人")
    office.say("person", "move")
    here_ = office.call("13105551234", caller="司徒醫師")
    shown = office.kept("--of", f"complaints/{here_}")
    assert (shown["names"], shown["kept"]["complaints"]) == (1, [here_])
    office.say("person", "destroy", shown["person"], "--reason", "asked", "--yes")
    assert office.status("complaints", here_) == 410
    assert office.status("complaints", abroad) == 201


def test_what_was_destroyed_before_stays_destroyed(office):
    with office.before():
        called, medic = office.call(FULL), office.enrol(f"{NUMBER}\u200b")
    for thing in (f"complaints/{called}", f"medics/{medic}"):
        office.say("person", "destroy", "--of", thing, "--reason", "x", "--yes")
    out = office.say("person", "move")
    assert out[0].startswith("keys of people: 0 moved")
    assert "destroyed: 2 numbers cannot be read any more, and stay" in out
    assert office.status("complaints", called) == 410


def test_a_number_of_no_paper_is_named_by_its_medic(office):
    with office.before():
        medic = office.enrol("不詳")
    out = office.say("person", "move")
    assert any(line.startswith(f"  medics/{medic} has an invalid identity number") for line in out)


def test_a_move_while_insurance_is_away_goes_on_later(office):
    with office.before():
        medic = office.enrol(f"{NUMBER}\u200b")
    office.monkeypatch.setattr(moving, "STANDS_STILL", 0.0)
    out = office.say("person", "move", code=1)
    assert "medics: 0 moved, 0 could not be moved, 1 pending" in out
    office.district.settle()
    assert office.persons() == {medic: by_identity(office.seal, NUMBER)}
    office.say("person", "move")


def test_a_key_of_the_district_that_is_lacking_is_one_sentence(office):
    office.call(PHONE)
    file = office.district.running.settings.data / "seal.key"
    KeyFile((b"x" * 32,), b"z" * 32).write(file)
    (line,) = office.say("person", "move", code=2)
    assert "Not everything can be decrypted" in line
    (line,) = office.say("person", "show", by_phone(office.seal, PHONE), code=2)
    assert "Not everything can be decrypted" in line


# names


@pytest.fixture
def strangers(office):
    """Three people on one key, and how to ask for its end."""
    with office.before():
        calls = [office.call("無", caller) for caller in (*NAMES, f" {NAMES[0]}\u200b")]
    person = once_by_phone(office.seal, "無")
    return calls, ("person", "destroy", person, "--reason", "本人請求")


def test_it_shows_how_many_names_hang_on_a_key_before_it_asks(office, strangers):
    calls, words = strangers
    assert "  different names: 3" in office.say("person", "show", words[2])
    out = office.say(*words, said="2\n", code=1)
    assert any(line.startswith("The key has 3 different names") for line in out)
    assert office.status("complaints", calls[0]) == 201
    office.say(*words, said="3\n")
    assert office.status("complaints", calls[0]) == 410


@pytest.mark.parametrize(
    "more", [("--yes",), ("--yes", "--names", "1"), ("--yes", "--names", "4"), ("--names", "4")]
)
def test_yes_alone_does_not_destroy_a_key_of_several_names(office, strangers, more):
    calls, words = strangers
    (line,) = [line for line in office.say(*words, *more, code=2) if line.startswith("bihuan: ")]
    assert "3 different names" in line
    assert office.status("complaints", calls[0]) == 201


def test_names_that_were_counted_are_destroyed_without_a_question(office, strangers):
    calls, words = strangers
    office.say(*words, "--yes", "--names", "3")
    assert office.status("complaints", calls[0]) == 410
    (entry,) = [row for row in office.rows(audit) if row.what == "destroy-person"]
    assert json.loads(entry.content)["names"] == 3
