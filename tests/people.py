"""People with names, phones and numbers that nothing else has, told to a district in every way; and
a search for them, in every form in which text is written, wherever a district leaves something."""

import base64
import io
import itertools
import json
import zipfile
from urllib.parse import quote

from sqlalchemy import LargeBinary, select, update

from chassis.messaging.parked import EXHAUSTED, RETRYING
from chassis.storage.tables import parked_messages
from console.client import Client
from console.demo.plan import DAYS, plan
from console.demo.replay import Replay
from console.demo.synthetic import identity_number
from services.gateway.resources import VIEWS
from tests.api.test_feed import stream
from tests.receivers import until

CALLER, PHONE, MEDIC, IDENTITY, CLAIMANT, SECOND, WORKER = (
    "歐陽訴人", "13859761234", "司徒醫師", "350503197905051231", "上官遺屬", "諸葛護士", "獨孤工人",
)  # fmt: skip
PUBLIC = "某閉環小館"
"""Said of an enterprise: it is found wherever anything is found."""
FAILS = {"insurance": "無法受理之院", "gateway": "無法展示之院"}
"""Institutions at which a service fails: what tells of them becomes dead letters there."""
PERSONAL = frozenset({"name", "identity", "caller", "phone", "claimant"})
FORMATS = ("json", "csv", "xlsx")


def forms(word):
    """Give a word in each form in which it may stand in something, as bytes by the form's name."""
    plain = word.encode()
    escaped = json.dumps(word)[1:-1]
    made = {
        "utf-8": plain,
        "escaped": escaped.encode(),
        "escaped in capitals": "".join(
            each if each.isascii() else f"\\u{ord(each):04X}" for each in word
        ).encode(),
        "escaped twice": json.dumps(escaped)[1:-1].encode(),
        "utf-16-le": word.encode("utf-16-le"),
        "utf-16-be": word.encode("utf-16-be"),
        "percent": quote(word).encode(),
        "hexadecimal": plain.hex().encode(),
    }
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + plain)
        begin, end = -(-offset * 8 // 6), (offset + len(plain)) * 8 // 6
        made[f"base64 at {offset}"] = coded[begin:end]
        made[f"base64url at {offset}"] = coded[begin:end].translate(bytes.maketrans(b"+/", b"-_"))
    return made


def found(words, places):
    """Find words in what stands in places, each some bytes: (where, which, in which form)."""
    return [
        (where, word, form)
        for word in words
        for form, written in forms(word).items()
        for where, content in places.items()
        if written in content
    ]


class Listening(Client):
    """A client of the replay that notes every person of whom it tells."""

    def __init__(self, *bases, **more):
        super().__init__(*bases, **more)
        self.people = set()

    def post(self, path, body, key, *, kind="application/json"):
        rows = (
            [json.loads(line) for line in body.split(b"\n")]
            if kind != "application/json"
            else [body]
        )
        if path.startswith(("/v1/medics", "/v1/complaints")):
            self.people |= {row[name] for row in rows for name in PERSONAL & row.keys()}
        return super().post(path, body, key, kind=kind)


class Telling:
    """Tells a district of people: done, refused, failing, in batches, in sheets, in a month."""

    def __init__(self, district, receiver, failing=tuple(FAILS)):
        self.district = district
        self.failing = failing
        self.receiver = receiver
        self.people = {CALLER, PHONE, MEDIC, IDENTITY, CLAIMANT, SECOND, WORKER}
        self.answers = {}
        self._keys = itertools.count(1)

    def run(self, scale=0.004):
        """Tell everything, and wait until nothing is under way."""
        self.district.begin()
        self.district.codes = itertools.count(900_000)
        self.district.client.post("/v1/webhooks", {"url": self.receiver.url})
        client = Listening(self.district.client.base, token=self.district.client.token)
        month = Replay(plan(scale), client)
        self._fail()
        month.run()
        self.district.today = DAYS[-1]
        self.people |= client.people
        self._tell()
        self._settle()

    def _fail(self):
        """Let two services fail, with an error that says all that they were told."""
        kinds = {"insurance": "enrol-medic", "gateway": "medic-enrolled"}
        for service, kind in ((service, kinds[service]) for service in self.failing):
            handlers = self.district.running.hosts[service].consumer.handlers
            handlers[kind] = [_failing(FAILS[service]), *handlers[kind]]

    def _tell(self):
        shop = self.district.reopened(name=PUBLIC)
        asked = {"track": "report", "channel": "12315", "content": "堂食", "enterprise_id": shop}
        told = asked | {"caller": CALLER, "phone": PHONE}
        self.complaint = self._post("/v1/complaints", told)["complaint_id"]
        self._post("/v1/complaints", asked | {"caller": CALLER, "channel": "rumour"}, 422)
        self._post("/v1/complaints", asked | {"caller": CALLER * 30, "phone": 5}, 422)
        self._post("/v1/complaints", told | {"enterprise_id": "nothing"}, 404)
        outside = told | {"outside_number": "N-1"}
        for revision, status in ((1, 201), (2, 200)):
            self._post("/v1/complaints", outside | {"revision": revision, "phone": PHONE}, status)
        medic = {"name": MEDIC, "identity": IDENTITY, "institution": "豐澤區醫院"}
        made = self._post("/v1/medics", medic)["medic_id"]
        self._post("/v1/medics", medic | {"name": SECOND}, 409)
        self._post("/v1/medics", medic | {"institution": ""}, 422)
        rows = [
            medic | {"name": SECOND, "identity": identity_number(3999)},
            medic,
            {"name": SECOND},
        ]
        text = "\n".join(json.dumps(row) for row in rows)
        batch = self._post("/v1/medics/batch", text, 200, "application/x-ndjson")
        assert [item["status"] for item in batch["items"]] == [201, 409, 422]
        person = {"worker": "A-1", "name": WORKER, "home": "350503", "temperature": 36.5}
        text = "\n".join(json.dumps(one) for one in (person, person | {"home": ""}))
        path = f"/v1/enterprises/{shop}/roster/lines?day={self.district.today}"
        self._post(path, text, 200, "application/x-ndjson")
        self.district.settle()
        (policy,) = self.district.client.everything(f"/v1/policies?holder_id={made}")
        claim = {"policy_id": policy["id"], "casualty": "death"}
        claim |= {"occurred_on": str(self.district.today)}
        for status in (201, 409):
            self._post("/v1/claims", claim | {"claimant": CLAIMANT}, status)
        for number, service in enumerate(self.failing, start=4000):
            failing = {"identity": identity_number(number), "institution": FAILS[service]}
            self._post("/v1/medics", failing | {"name": SECOND}, 202, Prefer="respond-async")

    def _post(self, path, body, status=201, kind="application/json", **more):
        headers = {"Content-Type": kind, "Idempotency-Key": f"p-{next(self._keys)}"} | more
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        answer = self.district.client.request("POST", path, headers=headers, raw=raw)
        assert answer.status == status, answer.data
        self.answers[f"answer {len(self.answers)} of {path}"] = answer.data
        return answer.json()

    def _settle(self):
        """Have what fails tried until it is a dead letter, and let all else come to rest."""
        until(lambda: all(self._spent(service) for service in self.failing))
        self.district.settle()
        last = self.district.client.get("/v1/events?limit=1")["as_of"]["position"]
        until(lambda: {got.event["position"] for got in self.receiver.got} >= {last})

    def _spent(self, service):
        with self.district.store(service).write() as uow:
            uow.execute(
                update(parked_messages).where(parked_messages.c.state == RETRYING).values(try_at=0)
            )
            return (
                uow.scalar(select(parked_messages.c.id).where(parked_messages.c.state == EXHAUSTED))
                is not None
            )


def _failing(institution):
    def fail(fact, _db):
        if fact.institution == institution:
            raise RuntimeError(f"nothing can be done with {fact!r}")

    return fail


# where a district leaves something


def left_by(district, telling):
    """Give all that a district has left, except its files, by where it stands."""
    client = district.client
    places = {"metrics": client.request("GET", "/metrics").data, **telling.answers}
    for number, got in enumerate(telling.receiver.got):
        places[f"webhook {number}"] = got.body + str(got.headers).encode()
    places |= dumped(district)
    for view in VIEWS.values():
        for kind in FORMATS:
            whole = client.request("GET", f"/v1/{view.name}?format={kind}")
            assert whole.status == 200
            places[f"{view.name} as {kind}"] = (
                unpacked(whole.data) if kind == "xlsx" else whole.data
            )
        for one in client.everything(f"/v1/{view.name}"):
            path = f"/v1/{view.name}/{one['id']}"
            places[path] = client.request("GET", path).data
    for identity, rows in commands_of(district):
        for rest in ("", "/rows") if rows else ("",):
            path = f"/v1/commands/{identity}{rest}"
            places[path] = client.request("GET", path).data
    places["timeline"] = client.request("GET", f"/v1/complaints/{telling.complaint}/timeline").data
    last = client.get("/v1/events?limit=1")["as_of"]["position"]
    places["feed"] = json.dumps(_feed(client), ensure_ascii=False).encode()
    with stream(district, "after=0") as heard:
        events = list(itertools.takewhile(lambda e: e["position"] < last, iter(heard.next, None)))
    places["stream"] = json.dumps(events, ensure_ascii=False).encode()
    return places


def _feed(client):
    after, items = "0", []
    while True:
        page = client.get(f"/v1/events?limit=100&after={after}")
        items += page["items"]
        after = page["next"]
        if after == str(page["as_of"]["position"]):
            return items


def commands_of(district):
    from services.gateway.tables import commands

    with district.store("gateway").engine.connect() as connection:
        return connection.execute(select(commands.c.id, commands.c.rows)).all()


def dumped(district):
    """Read every table of every service, a text each: in a file a long row may stand in pieces."""
    places = {}
    for name in district.running.hosts:
        store = district.store(name)
        with store.engine.connect() as connection:
            for metadata in store.metadata:
                for table in metadata.sorted_tables:
                    rows = connection.execute(select(table)).all()
                    binary = any(isinstance(column.type, LargeBinary) for column in table.columns)
                    text = "\n".join(map(str, rows)).encode()
                    if binary:
                        text += b"".join(x for row in rows for x in row if isinstance(x, bytes))
                    places[f"{name}.{table.name}"] = text
    return places


def unpacked(workbook):
    """Give what stands in a workbook, which is an archive."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


def files_of(folder):
    """Give the files below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
