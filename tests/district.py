"""A district to tell stories about: everything goes in and is read by HTTP, as a client would."""

import itertools
import json
import secrets
import time
from datetime import date, datetime, timedelta

import eventlet
import urllib3
from sqlalchemy import inspect, select, text

from chassis.messaging.bus import ANY
from chassis.messaging.parked import RETRYING
from chassis.service import bindings_of
from chassis.settings import Settings
from chassis.storage.tables import inbox, outbox, parked_messages
from console.admin.tokens import issuer_of, token_of_all
from console.demo.synthetic import credit_code
from console.runtime.district import District
from services.gateway.access.callers import Caller
from services.gateway.resources.roles import Role
from tests import PATIENCE
from tests.emptied import files_anew

SHANGHAI = "+08:00"
MEASURES = ["masks", "disinfectant", "thermometer", "isolation_room"]
FIRST_DAY = date(2020, 2, 10)


class Refused(AssertionError):
    """The API answered otherwise than the story expects."""

    def __init__(self, status, problem):
        super().__init__(f"{status}: {problem}")
        self.status = status
        self.problem = problem


class Client:
    """Speaks to a gateway. Every POST has a key of its own unless the story gives one."""

    def __init__(self, base, token=""):
        self.base = base
        self.token = token
        self.http = urllib3.PoolManager(maxsize=64, retries=False)
        self.keys = itertools.count(1)

    def request(self, method, path, body=None, headers=None, raw=None):
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        sent = {"Content-Type": "application/json"} | (headers or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if method == "POST":
            sent.setdefault("Idempotency-Key", f"story-{next(self.keys)}")
        return self.http.request(method, self.base + path, body=data, headers=sent)

    def post(self, path, body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.request("POST", path, body or {}, named)
        if answer.status >= 300:
            raise Refused(answer.status, answer.json())
        return answer.json()

    def get(self, path):
        answer = self.request("GET", path)
        if answer.status >= 300:
            raise Refused(answer.status, answer.json())
        return answer.json()

    def everything(self, path):
        """Read every page of a list."""
        after, found = "", []
        while after is not None:
            page = self.get(f"{path}{'&' if '?' in path else '?'}limit=100&after={after}")
            found += page["items"]
            after = page["next"]
        return found


def token_in(data):
    """Return the token of everybody in the embedded district of this folder."""
    return token_of_all(issuer_of(Settings.read({}, data=data)))


class Stories:
    """The words in which stories are told; `settle` waits until nothing is under way."""

    client: Client

    def settle(self):
        """Wait until nothing is under way; each kind of district knows how."""

    # -- time

    def begin(self, day=FIRST_DAY):
        self.today = day - timedelta(days=1)
        self.codes = itertools.count(1)
        self.tomorrow()

    def tomorrow(self):
        self.today += timedelta(days=1)
        moment = datetime.combine(self.today, datetime.min.time()).isoformat() + SHANGHAI
        answer = self.client.post("/v1/clock", {"at": moment})
        assert answer["swept"]
        self.settle()

    def days_pass(self, days):
        for _ in range(days):
            self.tomorrow()

    # -- enterprises and filings

    def register(self, premises="shop", kind="sole_trader", size="micro", **more):
        number = next(self.codes)
        asked = {
            "credit_code": credit_code(number),
            "name": f"第{number}號店",
            "kind": kind,
            "size": size,
            "industry": "H6210" if premises == "restaurant" else "F5211",
            "premises": premises,
            "grid": "350503003",
        } | more
        made = self.client.post("/v1/enterprises", asked)["enterprise_id"]
        self.settle()
        return made

    def file(self, shop, **more):
        asked = {
            "enterprise_id": shop,
            "reopen_on": self.today.isoformat(),
            "headcount": 5,
            "out_of_province": 1,
            "measures": MEASURES,
            "pledge": True,
        } | more
        made = self.client.post("/v1/filings", asked)["filing_id"]
        self.settle()
        return made

    def planned(self, shop, purpose):
        visits = self.client.everything(f"/v1/visits?enterprise_id={shop}&purpose={purpose}")
        return next((v["id"] for v in visits if v["state"] == "planned"), None)

    def reviewed(self, shop, findings=()):
        visit = self.planned(shop, "review")
        assert visit, "no on-site review is planned"
        return self.visit(visit_id=visit, findings=findings)

    def reopened(self, premises="shop", **more):
        shop = self.register(premises, **more)
        self.file(shop)
        if self.planned(shop, "review"):
            self.reviewed(shop)
        assert self.state(shop) == "open"
        return shop

    # -- inspection

    def visit(self, shop=None, findings=(), **more):
        """Record a visit; a finding is a rule's code, or a dict."""
        asked = (
            {
                "day": self.today.isoformat(),
                "agencies": ["market-regulation"],
                "findings": [f if isinstance(f, dict) else {"rule": f} for f in findings],
            }
            | ({"enterprise_id": shop} if shop else {})
            | more
        )
        made = self.client.post("/v1/visits", asked)["visit_id"]
        self.settle()
        return made

    def open_notices(self, shop):
        return self.client.everything(f"/v1/notices?enterprise_id={shop}&state=open")

    def reinspect(self, notice, *, rectified=True):
        answer = self.client.post(
            f"/v1/notices/{notice['id']}/reinspection",
            {"day": self.today.isoformat(), "rectified": rectified},
        )
        self.settle()
        return answer["visit_id"]

    # -- complaints

    def complain(self, shop=None, **more):
        asked = (
            {
                "track": "report",
                "channel": "12315",
                "content": "店內有人堂食",
                "caller": "王小明",
                "phone": "13800000000",
            }
            | ({"enterprise_id": shop} if shop else {})
            | more
        )
        made = self.client.post("/v1/complaints", asked)["complaint_id"]
        self.settle()
        return made

    # -- what came of it

    def state(self, shop):
        return self.client.get(f"/v1/enterprises/{shop}")["state"]

    def timeline(self, thing, kind="enterprises"):
        return self.client.everything(f"/v1/{kind}/{thing}/timeline")

    def story(self, thing, kind="enterprises"):
        return [entry["type"] for entry in self.timeline(thing, kind)]

    def causes(self, thing, kind="enterprises"):
        """Return (cause, effect) pairs of a timeline, in order."""
        return [(e["caused_by"]["type"], e["type"]) for e in self.timeline(thing, kind)]

    def statistics(self):
        return self.client.get("/v1/statistics")


class TestDistrict(Stories):
    """An embedded district in the test's own process."""

    __test__ = False
    overtaken = 0

    def __init__(self, data, bus, **settings):
        settings = {"clock": "manual", "http_port": 0, "data": data, "wait": 60.0} | settings
        if not settings.get("database_url"):
            files_anew(settings["data"])
        self.running = District(Settings.read({}, **settings), bus)
        self.running.start()
        self.client = self.client_as(Caller("tester", frozenset(Role), speaks_for_others=True))
        with eventlet.Timeout(PATIENCE, TimeoutError("the district is not ready")):
            while self.client.request("GET", "/readyz").status != 200:
                eventlet.sleep(0.02)

    def client_as(self, caller):
        """Return a client with the token of a caller."""
        token = self.service("gateway").components.issuer.issue(caller, 3600)
        return Client(f"http://127.0.0.1:{self.running.port}", token)

    def settle(self):
        self.rest()

    def rest(self):
        """Wait until nothing is under way."""
        self.running.settle()

    def service(self, name):
        return self.running.hosts[name].service

    def store(self, name):
        return self.running.hosts[name].store

    def stop(self):
        self.running.stop()


class DistributedDistrict(TestDistrict):
    """The same five services in the test's own process, on RabbitMQ and PostgreSQL."""

    def __init__(self, data, database_url, amqp_uri, bus=None, **settings):
        key = data / "seal.key"
        data.mkdir(parents=True)
        key.write_text(secrets.token_hex(32))
        where = {
            "database_url": database_url,
            "amqp_uri": amqp_uri,
            "seal_key_file": str(key),
            "issuer_key_file": str(key),
        }
        super().__init__(data, bus, **(where | settings))
        self.hears = {kind.name: bindings_of(kind) for kind in self.running.services}
        self.settled = dict.fromkeys(self.hears, 0)

    def rest(self, seconds=PATIENCE):
        """Wait until each outbox row is sent and stands in every subscriber's inbox, and no parked
        message waits; raises `TimeoutError` with what is left."""
        deadline = time.monotonic() + seconds
        while left := self.under_way():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not quiet after {seconds} s: {left}")
            eventlet.sleep(0.005)

    def forget(self):
        """Empty the tables of every service, but not what its replicas agree on; while at rest."""
        kept = {"alembic_version", "deployment", "handler_sets", "leases", "replicas"}
        for name in self.hears:
            with self.store(name).write() as uow:
                found = inspect(uow.connection()).get_table_names()
                tables = ", ".join(f'"{table}"' for table in sorted(set(found) - kept))
                uow.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
            self.settled[name] = 0

    def under_way(self):
        """Name what is under way. Whoever has heard something may have said more meanwhile, so what
        was said is read before what was heard, and must be the same afterwards."""
        said = {name: self.said(name) for name in self.hears}
        rows = [row for name in said for row in said[name]]
        left = [f"{row.type} is not sent" for row in rows if not row.sent_at]
        left = left or [what for name in self.hears for what in self._unheard(name, rows)]
        left = left or [f"{name} says more" for name in said if said[name] != self.said(name)]
        if not left:
            self.settled |= {name: rows[-1].seq for name, rows in said.items() if rows}
        return left

    def said(self, name):
        columns = outbox.c.seq, outbox.c.id, outbox.c.exchange, outbox.c.type, outbox.c.sent_at
        query = select(*columns).where(outbox.c.seq > self.settled[name]).order_by(outbox.c.seq)
        with self.store(name).read() as session:
            return session.execute(query).all()

    def _unheard(self, name, rows):
        unheard = [f"{kind} has not reached {name}" for kind in self.due(name, rows).values()]
        with self.store(name).read() as session:
            waits = session.scalars(
                select(parked_messages.c.type).where(parked_messages.c.state == RETRYING)
            ).all()
        return unheard + [f"{kind} waits as a parked message at {name}" for kind in waits]

    def due(self, name, rows):
        """Return what was said to a service and does not stand in its inbox, the type by the id."""
        hears = self.hears[name]
        due = {r.id: r.type for r in rows if hears & {(r.exchange, r.type), (ANY, r.type)}}
        with self.store(name).read() as session:
            heard = set(session.scalars(select(inbox.c.id).where(inbox.c.id.in_(due))))
        return {identity: kind for identity, kind in due.items() if identity not in heard}
