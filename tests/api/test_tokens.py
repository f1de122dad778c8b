"""By which tokens the gateway knows who calls, and by which it does not."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from chassis.settings import Misconfigured, Settings
from services.gateway.access import tokens
from services.gateway.access.callers import Caller, Unauthenticated
from services.gateway.access.tokens import ISSUER, Issuer, Trust, issuer_of, verifier_of
from services.gateway.resources.roles import Role
from tests.api.conftest import problem

OFFICER = Caller("FZ-003-01", frozenset({Role.INSPECTOR}), frozenset({"350503003"}))


def claims(**changed):
    now = int(time.time())
    said = {"iss": ISSUER, "aud": "bihuan", "sub": "chen", "exp": now + 60, "roles": ["auditor"]}
    return {name: value for name, value in (said | changed).items() if value is not None}


@pytest.fixture(scope="module")
def keys():
    """Return the key of an RSA issuer and that of an Ed25519 one."""
    return {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def public(key, kid, algorithm):
    kind = jwt.algorithms.get_default_algorithms()[algorithm]
    found = json.loads(kind.to_jwk(key.public_key()))
    return found | {"kid": kid, "alg": algorithm, "use": "sig"}


@pytest.fixture
def own(tmp_path):
    settings = Settings.read({}, data=tmp_path)
    issuer = issuer_of(settings)
    return issuer, verifier_of(settings, issuer)


def test_a_token_says_all_of_a_caller(own):
    issuer, verifier = own
    assert verifier.caller(issuer.issue(OFFICER, 60)) == OFFICER
    shop = Caller("shop", frozenset({Role.ENTERPRISE}), enterprises=frozenset({"91…", "x"}))
    assert verifier.caller(issuer.issue(shop, 60)) == shop


def test_the_districts_key_is_kept_and_is_the_owners(own, tmp_path):
    issuer, _ = own
    file = tmp_path / "issuer.key"
    assert file.stat().st_mode & 0o777 == 0o600
    again = verifier_of(
        Settings.read({}, data=tmp_path), issuer_of(Settings.read({}, data=tmp_path))
    )
    assert again.caller(issuer.issue(OFFICER, 60)) == OFFICER


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"exp": None}, "exp"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": "x" * 65}, "sub"),
        ({"aud": "another"}, "udience"),
        ({"aud": None}, "aud"),
        ({"iss": "https://elsewhere.example"}, "not trusted"),
        ({"nbf": int(time.time()) + 3600}, "not yet valid"),
    ],
)
def test_a_token_that_says_what_it_may_not(own, changed, says):
    issuer, verifier = own
    text = jwt.encode(claims(**changed), issuer._key, "EdDSA", headers={"kid": issuer.key_id})
    with pytest.raises(Unauthenticated, match=says):
        verifier.caller(text)


def test_a_token_that_is_not_signed_as_it_must_be(own, keys):
    issuer, verifier = own
    head = {"kid": issuer.key_id}
    forged = [
        jwt.encode(claims(), keys["EdDSA"], "EdDSA", headers=head),
        jwt.encode(claims(), keys["RS256"], "RS256", headers=head),
        jwt.encode(claims(), issuer.jwks()["keys"][0]["x"], "HS256", headers=head),
        jwt.encode(claims(), None, "none", headers=head),
        jwt.encode(claims(), issuer._key, "EdDSA", headers={"kid": "another"}),
        jwt.encode(claims(), issuer._key, "EdDSA"),
        issuer.issue(OFFICER, 60)[:-6] + "AAAAAA",
        "no-token",
        "a.b.c",
        "",
    ]
    for text in forged:
        with pytest.raises(Unauthenticated):
            verifier.caller(text)


def test_roles_that_are_not_known_are_no_roles(own):
    issuer, verifier = own
    said = claims(roles=["emperor", "auditor", 7])
    text = jwt.encode(said, issuer._key, "EdDSA", headers={"kid": issuer.key_id})
    assert verifier.caller(text).roles == {Role.AUDITOR}


def test_an_expired_token_is_forgotten_though_it_was_known(own, monkeypatch):
    issuer, verifier = own
    text = issuer.issue(OFFICER, 60)
    assert verifier.caller(text) == OFFICER
    now = time.time()
    monkeypatch.setattr(verifier, "now", lambda: now + 3600)
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.caller(text)


def test_a_token_is_judged_by_the_clock_of_the_district_and_no_other(own, monkeypatch):
    issuer, verifier = own
    now = time.time()
    text = issuer.issue(OFFICER, 60)
    monkeypatch.setattr(time, "time", lambda: now + 10 * 86_400)
    issuer.now = verifier.now = lambda: now
    assert verifier.caller(text) == OFFICER
    assert verifier.caller(issuer.issue(OFFICER, 60)) == OFFICER
    monkeypatch.setattr(time, "time", lambda: now)
    issuer.now = lambda: now - 3600
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.caller(issuer.issue(OFFICER, 60))
    issuer.now = lambda: now + 3600
    with pytest.raises(Unauthenticated, match="not yet valid"):
        verifier.caller(issuer.issue(OFFICER, 60))


def test_heavy_tokens_are_not_remembered_without_end(own, monkeypatch):
    issuer, verifier = own
    monkeypatch.setattr(tokens, "HEAVIEST", 20_000)
    for number in range(40):
        heavy = Caller(
            f"chain-{number}", frozenset(Role), enterprises=frozenset(map(str, range(500)))
        )
        assert verifier.caller(issuer.issue(heavy, 60)) == heavy
        assert sum(map(len, verifier._known)) <= 20_000 + 5_000


# the keys of a provider


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_a_providers_keys_are_read_from_a_file(tmp_path, keys, algorithm):
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [public(keys[algorithm], "k1", algorithm)]}))
    told = {"JWKS": str(file), "TOKEN_ISSUER": "https://id.example", "TOKEN_ROLES": "access.roles"}
    settings = Settings.read(told, data=tmp_path)
    assert issuer_of(settings) is None, "tokens come from the provider alone"
    said = claims(iss="https://id.example", roles=None, access={"roles": ["auditor"]})
    text = jwt.encode(said, keys[algorithm], algorithm, headers={"kid": "k1"})
    verifier = verifier_of(settings, None)
    assert verifier.caller(text) == Caller("chen", frozenset({Role.AUDITOR}))
    with pytest.raises(Unauthenticated, match="not trusted"):
        verifier.caller(jwt.encode(claims(), keys[algorithm], algorithm, headers={"kid": "k1"}))


@pytest.fixture
def provider():
    """Serve a JWKS on loopback, and count how often it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked += 1
            self.send_response(server.status)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": server.keys}).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.keys, server.status = 0, [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def test_a_new_key_of_a_provider_is_asked_for_and_not_for_every_stranger(
    tmp_path, keys, provider, monkeypatch
):
    where = f"http://127.0.0.1:{provider.server_port}/jwks"
    told = {"JWKS": where, "TOKEN_ISSUER": "https://id.example"}
    verifier = verifier_of(Settings.read(told, data=tmp_path), None)
    provider.keys = [public(keys["RS256"], "old", "RS256")]

    def token(kid, algorithm):
        said = claims(iss="https://id.example", jti=kid)
        return jwt.encode(said, keys[algorithm], algorithm, headers={"kid": kid})

    assert verifier.caller(token("old", "RS256")).subject == "chen"
    assert provider.asked == 1
    for _ in range(20):
        with pytest.raises(Unauthenticated, match="unknown key"):
            verifier.caller(token("new", "EdDSA"))
    assert provider.asked == 1, "not so soon again"

    provider.keys = [public(keys["EdDSA"], "new", "EdDSA")]
    monkeypatch.setattr(tokens, "ASK_EVERY", 0.0)
    assert verifier.caller(token("new", "EdDSA")).subject == "chen"
    assert provider.asked == 2
    provider.status = 500
    with pytest.raises(Unauthenticated, match="unknown key"):
        verifier.caller(token("newer", "EdDSA"))
    monkeypatch.setattr(tokens, "REMEMBERED", 0)
    assert verifier.caller(token("new", "EdDSA")).subject == "chen", "the known keys are kept"


def test_a_provider_that_is_away_lets_nobody_in_and_ends_nothing():
    def away():
        raise tokens.NotFetched("nobody answers")

    trust = Trust("https://id.example", away)
    assert trust.key("k1") is None


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"JWKS": "keys.json"}, "JWKS needs TOKEN_ISSUER"),
        ({"ISSUER_KEY_FILE": "nowhere"}, "cannot be read"),
    ],
)
def test_what_is_missing_is_one_sentence(tmp_path, told, says):
    settings = Settings.read(told, data=tmp_path)
    with pytest.raises(Misconfigured, match=says):
        verifier_of(settings, issuer_of(settings))


# over HTTP


def test_a_token_is_taken_and_a_false_one_is_refused_with_the_reason(district):
    answer = district.client.request(
        "GET", "/v1/statistics", None, {"Authorization": "Bearer x.y.z"}
    )
    said = problem(answer, 401)
    assert said["type"] == "urn:bihuan:problem:unauthenticated"
    assert "not valid" in said["detail"]
    for value in ("Basic eDp5", "Bearer", "Bearer ", "x"):
        sent = {"Authorization": value}
        problem(district.client.request("GET", "/v1/statistics", None, sent), 401)


# accounts


@pytest.fixture
def account(district):
    """Add an account as `bihuan account add` does, and give its name and password."""
    from services.gateway.access.accounts import row_of
    from services.gateway.tables import accounts

    name, password = f"chen-{next(district.codes)}", "correct horse"
    with district.store("gateway").write() as uow:
        uow.execute(
            accounts.insert().values(row_of(Caller(name, OFFICER.roles, OFFICER.grids), password))
        )
    return name, password


def log_in(district, name, password):
    nobody = type(district.client)(district.client.base)
    return nobody.request("POST", "/v1/token", {"account": name, "password": password})


def test_a_password_gets_a_token(district, account):
    name, password = account
    answer = log_in(district, name, password)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    said = answer.json()
    assert (said["token_type"], said["expires_in"]) == ("Bearer", 3600)
    client = type(district.client)(district.client.base, said["access_token"])
    shops = {grid: district.register(grid=grid) for grid in ("350503003", "350503004")}
    found = {item["id"] for item in client.everything("/v1/enterprises")}
    assert shops["350503003"] in found
    assert shops["350503004"] not in found
    problem(client.request("GET", "/v1/claims"), 403)


def test_a_wrong_password_and_an_unknown_account_are_told_alike(district, account):
    name, password = account
    wrong = problem(log_in(district, name, "incorrect horse"), 401)
    unknown = problem(log_in(district, "nobody", password), 401)
    assert wrong == unknown


def test_a_name_whose_password_is_wrong_too_often_has_to_wait(district, account):
    name, password = account
    for _ in range(5):
        problem(log_in(district, name, "incorrect horse"), 401)
    problem(log_in(district, name, password), 429)


def test_a_login_without_a_name_is_told_what_is_missing(district):
    nobody = type(district.client)(district.client.base)
    problem(nobody.request("POST", "/v1/token", {}), 422, "#/account", "#/password")


def test_tokens_of_one_issuer_are_none_of_another():
    one, other = Issuer(b"1" * 32), Issuer(b"2" * 32)
    assert one.key_id != other.key_id
