"""Nobody is taken for somebody else: not for one whose name and key read alike, and not for one of
the same name whom another issuer vouches for."""

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from sqlalchemy import select, update

from chassis.messaging.memory_bus import EmbeddedBus
from chassis.settings import Misconfigured, Settings
from services.gateway.access.callers import Caller
from services.gateway.access.tokens import issuer_of, verifier_of
from services.gateway.event_log.chain import AUDIT
from services.gateway.resources.roles import Role
from services.gateway.tables import audit, commands, webhooks
from tests.api.conftest import problem
from tests.api.exported import get
from tests.api.test_tokens import claims, public
from tests.district import Client, TestDistrict

ABROAD = "https://id.example"
ALL = frozenset(Role)
HOOK = {"url": "http://127.0.0.1:9/", "types": ["enterprise-registered"]}


@pytest.fixture(scope="module")
def provider():
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def district(tmp_path_factory, provider):
    """A district that trusts an issuer of its own, and a provider."""
    data = tmp_path_factory.mktemp("district")
    (data / "own.key").write_text("7" * 64)
    (data / "jwks.json").write_text(json.dumps({"keys": [public(provider, "p1", "EdDSA")]}))
    running = TestDistrict(
        data,
        EmbeddedBus(),
        webhooks_to="private",
        issuer_key_file=str(data / "own.key"),
        jwks=str(data / "jwks.json"),
        token_issuer=ABROAD,
    )
    running.begin()
    yield running
    running.stop()


@pytest.fixture
def abroad(district, provider):
    """Give a client for whom the provider vouches."""

    def client(subject, roles=ALL):
        said = claims(iss=ABROAD, sub=subject, roles=sorted(roles), exp=int(time.time()) + 3600)
        token = jwt.encode(said, provider, "EdDSA", headers={"kid": "p1"})
        return Client(district.client.base, token)

    return client


def own(district, subject):
    return district.client_as(Caller(subject, ALL))


def post(client, path, body, key):
    return client.request("POST", path, body, {"Idempotency-Key": key})


@pytest.fixture
def two(district, abroad, request):
    """Two who are not one: a client and a key of each."""
    if request.param == "names that read alike":
        return (own(district, "a b"), "k"), (own(district, "a"), "b k")
    return (own(district, "chen"), "k"), (abroad("chen"), "k")


pairs = pytest.mark.parametrize(
    "two", ["names that read alike", "issuers that know the same name"], indirect=True
)


def kept(district, table, *which):
    with district.store("gateway").engine.connect() as connection:
        return connection.execute(select(table).where(*which)).all()


@pairs
def test_what_one_has_opened_is_not_read_by_the_other_without_a_trace(district, two):
    (one, key), (other, same) = two
    path = f"/v1/complaints/{district.complain(against='某店')}/openings"
    before = len(kept(district, audit, audit.c.what == "open-complaint"))
    first = post(one, path, {"reason": "回電核實"}, key).json()
    second = post(other, path, {"reason": "回電核實"}, same).json()
    assert first["opening_id"] != second["opening_id"]
    assert len(kept(district, audit, audit.c.what == "open-complaint")) == before + 2
    assert AUDIT.verify(district.store("gateway"))[1] is None


@pairs
def test_the_secret_of_a_webhook_is_its_owners(district, two):
    (one, key), (other, same) = two
    first = post(one, "/v1/webhooks", HOOK, key).json()
    second = post(other, "/v1/webhooks", HOOK, same).json()
    assert first["id"] != second["id"]
    assert first["secret"] != second["secret"]
    for client, mine, others in ((one, first, second), (other, second, first)):
        assert mine["id"] in {hook["id"] for hook in client.get("/v1/webhooks")["items"]}
        assert others["id"] not in {hook["id"] for hook in client.get("/v1/webhooks")["items"]}
        problem(client.request("GET", f"/v1/webhooks/{others['id']}"), 404)
        problem(post(client, f"/v1/webhooks/{others['id']}/secret", {}, key), 404)
    rotated = post(one, f"/v1/webhooks/{first['id']}/secret", {}, key).json()
    assert rotated["secret"] != first["secret"]


@pairs
def test_a_command_of_one_is_no_answer_to_the_other(district, two, say):
    (one, key), (other, same) = two
    body = say.enterprise()
    first = post(one, "/v1/enterprises", body, key)
    assert first.status == 201
    problem(post(other, "/v1/enterprises", body, same), 409, "#/credit_code")
    assert post(one, "/v1/enterprises", body, key).data == first.data


@pairs
def test_a_batch_of_one_is_no_answer_to_the_other(district, two, say):
    (one, key), (other, same) = two
    row = json.dumps(say.enterprise()).encode()
    sent = [
        client.request(
            "POST",
            "/v1/enterprises/batch",
            raw=row,
            headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": its},
        ).json()
        for client, its in ((one, key), (other, same))
    ]
    assert [answer["done"] for answer in sent] == [1, 0]


def test_a_command_is_told_to_who_sent_it_and_not_to_a_namesake(district, abroad, say):
    clerk = frozenset({Role.DISTRICT_OFFICE})
    mine = district.client_as(Caller("lin", clerk))
    theirs = abroad("lin", clerk)
    for one, other in ((mine, theirs), (theirs, mine)):
        answer = post(one, "/v1/enterprises", say.enterprise(), "told")
        (row,) = kept(district, commands, commands.c.location == answer.headers["Location"])
        assert one.get(f"/v1/commands/{row.id}")["state"] == "done"
        problem(other.request("GET", f"/v1/commands/{row.id}"), 404)


def test_an_export_is_there_for_who_asked_and_not_for_a_namesake(district, abroad, say, small):
    for _ in range(6):
        district.client.post("/v1/enterprises", say.enterprise())
    district.settle()
    mine, theirs = own(district, "wu"), abroad("wu")
    asked = {client: get(client, "/v1/enterprises?format=csv").json() for client in (mine, theirs)}
    for one, other in ((mine, theirs), (theirs, mine)):
        path = f"/v1/exports/{asked[one]['export_id']}"
        assert one.request("GET", path).status == 200
        problem(other.request("GET", path), 404)


def test_who_acts_is_named_alike_by_every_issuer_and_the_audit_tells_which(district, abroad):
    made = post(abroad("zhao"), "/v1/webhooks", HOOK, "audited").json()
    (entry,) = kept(district, audit, audit.c.about == made["id"])
    assert (entry.who, json.loads(entry.content)["issuer"]) == ("zhao", ABROAD)
    (hook,) = kept(district, webhooks, webhooks.c.id == made["id"])
    assert hook.owner.startswith("~")


# what the version before has written


@pytest.mark.parametrize("subject", ["qian", "a b", "100%"])
def test_a_repeat_of_what_the_version_before_took_in_is_one(district, say, subject):
    client, body = own(district, subject), say.enterprise()
    key = f"earlier {subject}"
    first = post(client, "/v1/enterprises", body, key)
    hook = post(client, "/v1/webhooks", HOOK, key)
    as_before(district, first.headers["Location"], f"POST /v1/enterprises {subject} {key}")
    as_before(district, hook.headers["Location"], f"POST /v1/webhooks {subject} {key}")
    count = len(kept(district, commands))
    assert post(client, "/v1/enterprises", body, key).data == first.data
    assert post(client, "/v1/webhooks", HOOK, key).data == hook.data
    problem(post(client, "/v1/enterprises", say.enterprise(), key), 422)
    assert len(kept(district, commands)) == count


def test_what_the_version_before_took_in_of_another_who_reads_alike_is_not_given_away(
    district, say
):
    body, (one, other) = say.enterprise(), (own(district, "a b"), own(district, "a"))
    hook = post(one, "/v1/webhooks", HOOK, "older")
    shop = post(one, "/v1/enterprises", body, "older")
    as_before(district, hook.headers["Location"], "POST /v1/webhooks a b older")
    as_before(district, shop.headers["Location"], "POST /v1/enterprises a b older")
    problem(post(other, "/v1/webhooks", HOOK, "b older"), 422)
    problem(post(other, "/v1/enterprises", body, "b older"), 422)


def test_two_who_read_alike_both_have_their_own_of_the_version_before(district, say):
    body, (one, other) = say.enterprise(), (own(district, "c d"), own(district, "c%20d"))
    first, second = say.enterprise(), say.enterprise()
    mine = post(one, "/v1/enterprises", first, "alike")
    theirs = post(other, "/v1/enterprises", second, "alike")
    as_before(district, mine.headers["Location"], "POST /v1/enterprises c d alike")
    as_before(district, theirs.headers["Location"], "POST /v1/enterprises c%20d alike")
    assert post(one, "/v1/enterprises", first, "alike").data == mine.data
    assert post(other, "/v1/enterprises", second, "alike").data == theirs.data
    problem(post(one, "/v1/enterprises", body, "alike"), 422)


def as_before(district, location, text):
    """Put a command under what the version before would have kept it under."""
    with district.store("gateway").write() as uow:
        which = commands.c.location == location
        assert uow.execute(update(commands).where(which).values(idempotency=text)).rowcount == 1


# who is trusted


def test_where_only_a_provider_is_trusted_its_subjects_keep_their_names(tmp_path, provider):
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [public(provider, "p1", "EdDSA")]}))
    told = Settings.read({"JWKS": str(file), "TOKEN_ISSUER": ABROAD}, data=tmp_path)
    text = jwt.encode(claims(iss=ABROAD), provider, "EdDSA", headers={"kid": "p1"})
    assert verifier_of(told, issuer_of(told)).caller(text).known_as == "chen"


def test_a_provider_that_calls_itself_as_the_districts_own_issuer_is_refused(tmp_path):
    (tmp_path / "own.key").write_text("7" * 64)
    told = {
        "JWKS": "keys.json",
        "TOKEN_ISSUER": "bihuan",
        "ISSUER_KEY_FILE": str(tmp_path / "own.key"),
    }
    settings = Settings.read(told, data=tmp_path)
    with pytest.raises(Misconfigured, match="TOKEN_ISSUER must not be bihuan"):
        verifier_of(settings, issuer_of(settings))
