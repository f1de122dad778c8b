"""Operators show what is kept of a person, and end it; they add keys, and rotate."""

import json
import shutil
import threading

import pytest
from sqlalchemy import select, text

from chassis.messaging.memory_bus import EmbeddedBus
from chassis.runtime.green import pause
from chassis.sealing import KeyFile, PersonKey, Seal
from chassis.settings import Misconfigured
from services.gateway.access.callers import Caller
from services.gateway.event_log.chain import AUDIT
from services.gateway.person_keys import PersonKeys, by_identity, by_phone
from services.gateway.privacy.key_rotation import Rotating
from services.gateway.resources.roles import Role
from services.gateway.tables import audit, person_keys, webhook_secrets
from tests.console.conftest import here
from tests.district import TestDistrict

CALLER, PHONE, MEDIC, IDENTITY = "歐陽訴人", "13859761234", "司徒醫師", "350503197905051231"
PERSONAL = (CALLER, PHONE, MEDIC, IDENTITY)
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
TYPES = ["filing-approved"]
EMBEDDED = {"DATABASE_URL": "", "AMQP_URI": ""}


class Office:
    """Somebody at the operator's command line, beside a district that knows two people."""

    def __init__(self, district):
        self.district = district
        self.environ = EMBEDDED | district.environ
        self.store = district.store("gateway")
        self.file = district.running.settings.data / "seal.key"
        self.seal = district.service("gateway").components.seal
        self.complaint = district.complain(caller=CALLER, phone=PHONE, against="某店")
        medic = {"name": MEDIC, "identity": IDENTITY, "institution": "豐澤區醫院"}
        self.medic = district.client.post("/v1/medics", medic)["medic_id"]
        self.caller = by_phone(self.seal, PHONE)
        district.settle()

    def say(self, *words, said="", code=0):
        ended, out, errors = here(self.environ, *words, said=said)
        text = "\n".join([*out, *errors])
        assert ended == code, text
        assert not [word for word in PERSONAL if word in text]
        return out if not code else [*out, *errors]

    def kept(self, *words, said=""):
        (line,) = self.say("person", "show", "--json", *words, said=said)
        return json.loads(line)

    def open(self, name, identity):
        roles = frozenset({Role.HOTLINE_DESK, Role.INSURER})
        client = self.district.client_as(Caller("desk-3", roles))
        return client.request("POST", f"/v1/{name}/{identity}/openings", {"reason": "核實"})

    def rows(self, table=person_keys):
        with self.store.engine.connect() as connection:
            return connection.execute(select(table)).all()


@pytest.fixture
def office(running):
    return Office(running)


# showing


def test_what_is_kept_of_a_person_is_shown_in_counts_and_ids(office):
    kept = office.kept("--phone", said=f"{PHONE}\n")
    assert kept["person"] == office.caller
    assert kept["kept"] == {"complaints": [office.complaint], "medics": [], "claims": []}
    assert [key["destroyed_at"] for key in kept["keys"]] == [None]
    assert office.kept(office.caller) == kept
    assert office.kept("--of", f"complaints/{office.complaint}") == kept
    assert office.kept("--identity", said=IDENTITY)["kept"]["medics"] == [office.medic]
    lines = office.say("person", "show", office.caller)
    assert lines[0] == f"person {office.caller}"
    assert f"    {office.complaint}" in lines


@pytest.mark.parametrize(
    ("words", "said"),
    [((), ""), (("--phone", "--identity"), PHONE), (("nobody",), ""), (("--phone",), ""),
     (("--of", "complaints/nothing"), ""), (("--of", "visits/1"), ""), (("--identity",), "1")],
)  # fmt: skip
def test_who_is_not_named_or_not_known_is_a_mistake(office, words, said):
    (line,) = office.say("person", "show", *words, said=said, code=2)
    assert line.startswith("bihuan: ")


# the end


def test_a_destroyed_key_leaves_no_trace_but_that_it_is_destroyed(office):
    (row,) = [row for row in office.rows() if row.person == office.caller]
    assert office.open("complaints", office.complaint).status == 201
    words = "person", "destroy", "--phone", "--reason", "本人請求", "--by", "op-1", "--yes"
    office.say(*words, said=PHONE)
    answer = office.open("complaints", office.complaint)
    assert answer.status == 410
    assert answer.json()["type"] == "urn:bihuan:problem:destroyed"
    assert office.open("medics", office.medic).status == 201
    (after,) = [each for each in office.rows() if each.person == office.caller]
    assert (after.id, after.wrapped, after.destroyed_by) == (row.id, None, "op-1")
    if office.store.dialect.name == "sqlite":
        box = row.wrapped.partition(".")[2].encode()
        files = [*office.district.running.settings.data.glob("gateway.db*")]
        assert len(files) > 1
        assert not [file for file in files if box in file.read_bytes()]
    (entry,) = [row for row in office.rows(audit) if row.what == "destroy-person"]
    assert (entry.who, entry.about) == ("op-1", office.caller)
    assert json.loads(entry.content)["reason"] == "本人請求"
    assert AUDIT.verify(office.store)[1] is None
    assert [key["destroyed_by"] for key in office.kept(office.caller)["keys"]] == ["op-1"]
    (line,) = office.say(*words, said=PHONE, code=2)
    assert "no key" in line


def test_later_data_of_the_person_has_a_new_key(office):
    office.say("person", "destroy", office.caller, "--reason", "本人請求", "--yes")
    again = office.district.complain(caller=CALLER, phone=PHONE, against="某店")
    assert office.open("complaints", again).json()["caller"] == CALLER
    assert office.open("complaints", office.complaint).status == 410
    assert office.kept(office.caller)["kept"]["complaints"] == [office.complaint, again]


def test_it_asks_first(office):
    words = "person", "destroy", office.caller, "--reason", "本人請求"
    office.say(*words, said="n\n", code=1)
    assert office.open("complaints", office.complaint).status == 201
    office.say(*words, said="y\n")
    assert office.open("complaints", office.complaint).status == 410


def test_without_a_reason_nothing_is_destroyed(office):
    office.say("person", "destroy", office.caller, "--reason", " ", "--yes", code=2)
    assert office.open("complaints", office.complaint).status == 201


# keys of the district


def test_a_rotation_moves_everything_while_the_district_runs(office):
    webhook = office.district.client.post(
        "/v1/webhooks", {"url": "https://8.8.8.8/", "types": TYPES}
    )
    office.say("keys", "rotate", "--check")
    office.say("keys", "add")
    old, references = office.seal.key_id, {row.person for row in office.rows()}
    office.say("keys", "rotate", "--check", code=1)
    assert office.say("keys", "list")[1].split()[:2] == [old, "opens"]
    office.say("keys", "rotate")
    office.say("keys", "rotate", "--check")
    file = KeyFile.read(office.file)
    assert {row.wrapped_by for row in office.rows()} == {file.ids()[0]} != {old}
    assert {row.secret.partition(".")[0] for row in office.rows(webhook_secrets)} == {file.ids()[0]}
    file._replace(keys=file.keys[:1]).write(office.file)
    assert office.open("complaints", office.complaint).json()["caller"] == CALLER
    assert {row.person for row in office.rows()} == references
    office.district.complain(caller=CALLER, phone=PHONE, against="某店")
    assert {row.person for row in office.rows()} == references
    assert {row.wrapped_by for row in office.rows()} == {file.ids()[0]}
    assert webhook["secret"]


def test_a_rotation_that_is_broken_off_goes_on(office):
    office.say("keys", "add")
    rotating = Rotating(office.store, Seal.from_file(office.file, create=False))

    def stop(_what, _done):
        raise KeyboardInterrupt

    for number in range(3):
        office.district.complain(caller=f"客{number}", phone=f"1380000000{number}", against="某店")
    with pytest.raises(KeyboardInterrupt):
        rotating.run(stop)
    office.say("keys", "rotate")
    assert not any(rotating.hanging().values())


def test_a_key_that_is_destroyed_meanwhile_stays_destroyed(office):
    office.say("keys", "add")
    office.say("person", "destroy", office.caller, "--reason", "本人請求", "--yes")
    office.say("keys", "rotate")
    assert office.open("complaints", office.complaint).status == 410


def test_a_key_file_that_lacks_a_key_is_one_sentence(office):
    lost = office.seal.key_id
    KeyFile((b"x" * 32, b"y" * 32), b"z" * 32).write(office.file)
    found = [json.loads(line) for line in office.say("doctor", "gateway", "--json", code=1)]
    (fault,) = [each for each in found if each["state"] == "fault"]
    assert lost in fault["says"]
    assert fault["check"] == "keys of people"
    people = PersonKeys(office.store, Seal.from_file(office.file, create=False))
    with pytest.raises(Misconfigured, match=f"lacks the key {lost}"):
        people.check()
    (line,) = office.say("keys", "rotate", code=2)
    assert lost in line
    assert lost in office.say("keys", "list")[-1]


def test_a_district_without_its_key_does_not_start(tmp_path):
    district = TestDistrict(tmp_path / "d", EmbeddedBus())
    district.begin()
    district.complain(against="某店")
    district.stop()
    KeyFile((b"x" * 32,), b"z" * 32).write(tmp_path / "d" / "seal.key")
    shutil.copytree(tmp_path / "d", tmp_path / "e")
    with pytest.raises(Misconfigured, match="lacks the key"):
        TestDistrict(tmp_path / "e", EmbeddedBus())


# two gateways


def test_two_gateways_that_meet_a_person_at_once_make_one_key(office):
    """One has inserted and not committed when the other asks; SQLite has one writer at a time."""
    people, found = PersonKeys(office.store, office.seal), {}
    persons = [by_identity(office.seal, str(number)) for number in range(20)]
    with office.store.write() as uow:
        found["first"] = people.keys(uow, persons)
        other = threading.Thread(target=lambda: found.update(second=_keys(people, persons[::-1])))
        other.start()
        while office.store.dialect.name != "sqlite" and not uow.scalar(WAITING):
            pause(0)
    other.join()
    assert found["first"] == found["second"]


def _keys(people, persons):
    with people.store.write() as uow:
        return people.keys(uow, persons)


def test_many_persons_are_asked_for_together(office):
    people = PersonKeys(office.store, office.seal)
    persons = [by_identity(office.seal, str(number)) for number in range(1201)]
    with office.store.write() as uow:
        made = people.keys(uow, persons)
    assert made.keys() == {*persons}
    with office.store.write() as uow:
        assert people.keys(uow, persons) == made
    assert len({key.id for key in made.values()} | {PersonKey().id}) == 1202
