"""A copy of a district, restored from a backup: it calls nobody until somebody says that it may."""

import shutil
import subprocess
from contextlib import contextmanager

import pytest

from tests import servers
from tests.broker.conftest import NAMES
from tests.conftest import available
from tests.console.conftest import empty, here
from tests.district import TestDistrict
from tests.receivers import receiving, until

REGISTERED = ["enterprise-registered"]


def started(data, url, like=None, **settings):
    told = {"webhooks_to": "private"} | ({"database_url": url} if url else {}) | settings
    district = TestDistrict(data, None, **told)
    district.environ = {"DATABASE_URL": url, "DATA": str(data), "AMQP_URI": ""}
    if like is None:
        district.begin()
    else:
        district.today, district.codes = like.today, like.codes
        district.client.keys = like.client.keys
    return district


@contextmanager
def running(*given, **named):
    district = started(*given, **named)
    try:
        yield district
    finally:
        district.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with available(servers.postgres(tmp_path_factory.mktemp("pg"), databases=NAMES)) as found:
        yield found


@pytest.fixture(params=["folder", "template", "dump", "base backup"])
def kept(request, tmp_path):
    """Where the live district is, and a function that copies it: each gives folder and URL."""
    if request.param == "folder":
        return (tmp_path / "live", ""), lambda: copied_folder(tmp_path)
    server = request.getfixturevalue("server")
    url = f"{server.base}{{service}}"
    empty(url)
    if request.param == "template":
        return (tmp_path / "live", url), lambda: copied_databases(server, tmp_path)
    made = {"dump": dumped, "base backup": restored}[request.param]
    return (tmp_path / "live", url), lambda: made(request, server, tmp_path)


def copied_folder(folder):
    shutil.copytree(folder / "live", folder / "copy")
    return folder / "copy", ""


def copied_databases(server, folder):
    for name in NAMES:
        server.execute(f'DROP DATABASE IF EXISTS "copy_{name}"')
        server.execute(f'CREATE DATABASE "copy_{name}" TEMPLATE "{name}"')
    return copied_folder(folder)[0], f"{server.base}copy_{{service}}"


def dumped(request, server, folder):
    other = servers.postgres(folder / "other", databases=NAMES)
    found = other.__enter__()
    request.addfinalizer(lambda: other.__exit__(None, None, None))
    for name in NAMES:
        said = subprocess.run(
            ["pg_dump", server.url(name).replace("+psycopg", "")], capture_output=True, check=True
        )
        subprocess.run(
            ["psql", "-q", "-v", "ON_ERROR_STOP=1", found.url(name).replace("+psycopg", "")],
            input=said.stdout, check=True, capture_output=True,
        )  # fmt: skip
    return copied_folder(folder)[0], f"{found.base}{{service}}"


def restored(request, server, folder):
    other = servers.postgres_restored(folder / "other", server)
    found = other.__enter__()
    request.addfinalizer(lambda: other.__exit__(None, None, None))
    return copied_folder(folder)[0], f"{found.base}{{service}}"


def held(district):
    return {each["held"] for each in district.client.get("/v1/webhooks")["items"]}


def looks(district, monkeypatch):
    """Count how often it is looked whether this is the home."""
    dispatcher, found = district.service("gateway").components.dispatcher, []
    look = dispatcher._home.look
    monkeypatch.setattr(dispatcher._home, "look", lambda: found.append(look()) or found[-1])
    return found


def gauge(district):
    text = district.client.request("GET", "/metrics").data.decode()
    (line,) = (li for li in text.splitlines() if li.startswith("bihuan_webhooks_held "))
    return float(line.split()[1])


def findings(environ):
    settings = {"DATABASE_URL": "", "AMQP_URI": ""} | environ
    _, lines, _ = here(settings, "doctor")
    return [line for line in lines if " webhooks: " in line]


def test_a_copy_calls_nobody_until_it_is_made_the_live_one(kept, monkeypatch):
    live_one, copy = kept
    with receiving() as receiver:
        with running(*live_one) as live:
            live.client.post("/v1/webhooks", {"url": receiver.url, "types": REGISTERED})
            live.register()
            until(lambda: len(receiver.firsts()) == 1)
            until(lambda: delivered(live))
            assert held(live) == {False}
            assert gauge(live) == 0
        copied = copy()
        with running(*copied, like=live) as other:
            until(lambda: held(other) == {True})
            assert gauge(other) == 1
            looked = looks(other, monkeypatch)
            other.register()
            until(lambda: len(looked) > 3)
            assert len(receiver.got) == 1
            (line,) = findings(other.environ)
            assert line.startswith("warning")
            assert "`bihuan webhooks adopt`" in line

            asked = here(other.environ, "webhooks", "adopt")
            assert asked[0] == 1, "nobody has said yes"
            folder, url = live_one
            assert ("on 127.0.0.1" if url else str(folder)[-20:]) in asked[1][0]
            until(lambda: len(looked) > 6)
            assert (held(other), len(receiver.got)) == ({True}, 1)

            assert here(other.environ, "webhooks", "adopt", said="y\n")[0] == 0
            until(lambda: len(receiver.firsts()) == 2)
            assert (held(other), gauge(other)) == ({False}, 0)
            assert findings(other.environ)[0].startswith("ok")
        with running(*copied, like=live) as other:  # a restart asks nobody
            other.register()
            until(lambda: len(receiver.firsts()) == 3)
        with running(*live_one, like=live) as live:  # and the first is at home where it was
            live.register()
            until(lambda: len(receiver.firsts()) == 4)


def delivered(district):
    (hook,) = district.client.get("/v1/webhooks")["items"]
    path = f"/v1/webhooks/{hook['id']}/deliveries?state=delivered"
    return district.client.get(path)["items"]


def test_a_copy_that_has_waited_for_long_gives_nothing_up_when_it_is_made_the_live_one(
    tmp_path, monkeypatch
):
    from sqlalchemy import update

    from services.gateway.tables import webhooks
    from services.gateway.webhooks.dispatcher import DAY

    with receiving(lambda *_: "500 Oh") as receiver:
        with running(tmp_path / "live", "") as live:
            live.client.post("/v1/webhooks", {"url": receiver.url, "types": REGISTERED})
            live.register()
            until(lambda: live.client.get("/v1/webhooks")["items"][0]["failing_since"])
        with running(*copied_folder(tmp_path), like=live) as other:
            until(lambda: held(other) == {True})
            with other.store("gateway").write() as uow:  # ten days pass
                since = webhooks.c.failing_since - 10 * DAY
                uow.execute(update(webhooks).values(failing_since=since))
            assert here(other.environ, "webhooks", "adopt", "--yes")[0] == 0
            until(lambda: len(receiver.got) > 1)
            until(lambda: other.client.get("/v1/webhooks")["items"][0]["failing_since"])
            assert other.client.get("/v1/webhooks")["items"][0]["state"] == "active"


def test_a_deployment_of_another_name_is_another_home(tmp_path):
    with receiving() as receiver:
        with running(tmp_path / "d", "", deployment="豐澤") as live:
            live.client.post("/v1/webhooks", {"url": receiver.url, "types": REGISTERED})
            until(lambda: live.service("gateway").components.dispatcher._home.known().home)
        with running(tmp_path / "d", "", like=live, deployment="rehearsal") as other:
            until(lambda: held(other) == {True})


def test_a_district_from_before_there_were_homes_is_at_home_where_it_starts(tmp_path):
    from chassis.storage.tables import deployment

    with receiving() as receiver:
        with running(tmp_path / "d", "") as live:
            live.client.post("/v1/webhooks", {"url": receiver.url, "types": REGISTERED})
        with running(tmp_path / "d", "", like=live) as live:
            with live.store("gateway").write() as uow:
                uow.execute(deployment.delete())
            live.register()
            until(lambda: receiver.got)
            assert held(live) == {False}


def test_a_server_that_does_not_say_what_it_is_is_known_by_the_rest(server):
    from chassis.storage.store import Store
    from services.gateway.webhooks.home import Home

    empty(f"{server.base}{{service}}")
    server.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC", "gateway")
    server.execute("DROP ROLE IF EXISTS plain")
    server.execute("CREATE ROLE plain LOGIN")
    store = Store("gateway", server.url("gateway").replace("bihuan@", "plain@"))
    place = Home(store)._here()
    assert place.words.startswith("gateway on 127.0.0.1, timeline 1 #")
    store.close()
    server.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC", "gateway")


def test_who_adopts_what_nobody_has_sent_from_is_told_so(tmp_path):
    with running(tmp_path / "d", "") as live:
        until(lambda: live.service("gateway").components.dispatcher._home.known().home)
    home = live.environ
    from chassis.storage.tables import deployment
    from console.admin.databases import opened, settings_of

    with (
        opened(settings_of(tmp_path / "d"), ["gateway"]) as stores,
        stores["gateway"].write() as uow,
    ):
        uow.execute(deployment.delete())
    code, lines, _ = here(home, "webhooks", "adopt")
    assert (code, lines) == (
        0, ["This database has sent no webhooks yet: the next gateway to start may."]
    )  # fmt: skip
