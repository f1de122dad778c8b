"""Other departments subscribe with what docs/subscribing.md tells them, and with nothing else."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from urllib.parse import unquote

import amqp
import pytest

from console.admin.department_accounts import queue_of
from contracts.catalogue import contracts
from tests import PATIENCE, servers
from tests.console.conftest import here
from tests.contract.test_asyncapi import judge
from tests.district import FIRST_DAY

DOCS = Path(__file__).parents[2] / "docs"
SUBSCRIBING = (DOCS / "subscribing.md").read_text(encoding="utf-8")
EVENT = "enterprise-reopened"
EXAMPLES = {
    "pika": "tax",
    "nameko": "tax",
    "nameko, with the id": "tax",
    "FastStream": "power",
    "Node: amqplib": "statistics",
}
"""The department that each example is of."""
PASSWORD = "a long password"


def section(heading):
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", SUBSCRIBING, re.MULTILINE | re.DOTALL)[1]


def examples():
    """Return (name, language, program) of every example of the page, in their order."""
    found = []
    for heading in re.findall(r"^## (.+)$", SUBSCRIBING, re.MULTILINE):
        for number, (language, code) in enumerate(
            re.findall(r"^```(\w+)\n(.*?)^```", section(heading), re.MULTILINE | re.DOTALL)
        ):
            found.append((heading + ", with the id" * number, language, code))
    return found


def table(heading, which):
    """Return the rows of a table of the page, by what stands in the first column."""
    rows = [
        row.strip("|").split("|") for row in re.findall(r"^\|.*\|$", section(heading), re.MULTILINE)
    ]
    tables, current = [], []
    for row in rows:
        if row[0].startswith("---"):
            tables.append(current := [])
        elif "`" in row[0]:
            current.append([cell.strip().strip("`") for cell in row])
    return {name: rest for name, *rest in tables[which]}


def documented_fields(kind):
    """Return the fields of an event as docs/events.md lists them: name, type and notes."""
    text = (DOCS / "events.md").read_text(encoding="utf-8")
    entry = re.search(rf"^#### {kind}\n(.*?)(?=^####? )", text, re.MULTILINE | re.DOTALL)[1]
    return {
        name: (shape, notes)
        for name, shape, notes in re.findall(
            r"^\| `([\w.\[\]]+)` \| (.*?) \| (.*?) \|$", entry, re.MULTILINE
        )
    }


class Client:
    """One department: a process of its own whose lines of JSON are read as they come."""

    def __init__(self, process):
        self.process = process
        self.lines = Queue()
        Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("{"):  # FastStream logs to the same place
                self.lines.put(line)
        self.lines.put("")

    def hears(self):
        """Wait for the next event; fails with what the process said when it ended."""
        try:
            line = self.lines.get(timeout=PATIENCE)
        except Empty:
            pytest.fail(f"nothing after {PATIENCE} s")
        assert line, f"the client ended: {self.errors()}"
        return json.loads(line)

    def errors(self):
        self.process.kill()
        return self.process.stderr.read()


@pytest.fixture(scope="session")
def rabbitmq_server(managed_rabbitmq):
    """The broker with its management API."""
    return managed_rabbitmq


@pytest.fixture(scope="session")
def rabbitmq(managed_rabbitmq):
    """Its URI."""
    return managed_rabbitmq.uri


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """Node, and in a folder of its own amqplib, which npm brings."""
    try:
        programs = servers.node()
    except servers.Unavailable as error:
        pytest.fail(str(error), pytrace=False)
    folder = tmp_path_factory.mktemp("node")
    asked = [programs.npm, "install", "--silent", "--no-audit", "--no-fund", "amqplib@2"]
    done = subprocess.run(
        asked, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        pytest.skip("Node's example needs amqplib, which npm cannot fetch here.")
    return programs.node, folder / "node_modules"


@contextmanager
def running(name, program, language, broker, folder, node=None):
    """Run an example, which consumes its queue when the block begins."""
    file = folder / f"client.{language}"
    file.write_text(program, encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "AMQP_URI": account(broker, name)}
    interpreter = sys.executable
    if node:
        interpreter, modules = node
        environment["NODE_PATH"] = str(modules)
    process = subprocess.Popen(
        [interpreter, file],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    client = Client(process)
    try:
        wait_for_a_consumer(broker, queue_of(EXAMPLES[name]), client)
        yield client
    finally:
        process.kill()
        process.wait()


@contextmanager
def connected(broker):
    """Speak AMQP to the broker."""
    credentials, _, place = broker.removeprefix("amqp://").partition("@")
    user, password = credentials.split(":")
    with amqp.Connection(
        place.partition("/")[0], userid=user, password=unquote(password)
    ) as connection:
        yield connection.channel()


def wait_for_a_consumer(broker, queue, client):
    """Wait until somebody consumes from a queue: it is bound then."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert client.process.poll() is None, client.errors()
        try:
            with connected(broker) as channel:
                if channel.queue_declare(queue, passive=True).consumer_count:
                    return
        except amqp.NotFound:
            pass
        time.sleep(0.05)
    pytest.fail(f"nobody consumes from {queue}: {client.errors()}")


def taken(channel, queue):
    """Take the next message of a queue; waits for it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if message := channel.basic_get(queue, no_ack=True):
            return message
        time.sleep(0.02)
    return pytest.fail(f"nothing in {queue} after {PATIENCE} s")


@pytest.fixture
def broker(distributed, rabbitmq, rabbitmq_server, tmp_path):
    """The broker's URI as the page wants it written; the departments have their accounts, by the
    command of the page."""
    (command,) = re.findall(r"^    bihuan (.*)$", section("Your queue"), re.MULTILINE)
    environ = {"BROKER_ADMIN_URI": rabbitmq_server.admin_uri}
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    departments = sorted(set(EXAMPLES.values()))
    for department in departments:
        words = command.replace("tax.password", str(file)).replace(" tax ", f" {department} ")
        assert here(environ, *shlex.split(words))[0] == 0
    yield rabbitmq.removesuffix("//") + "/%2F"
    for department in departments:
        here(environ, "department", "remove", department, "--yes")


def account(broker, name):
    """Return the URI with which an example's department comes."""
    user = queue_of(EXAMPLES[name])
    return broker.replace("guest:guest", f"{user}:{PASSWORD.replace(' ', '%20')}")


@pytest.fixture
def listening(broker, distributed):
    """A queue that keeps every reopening as it travels, for the test to look at."""
    with connected(broker) as channel:
        queue = channel.queue_declare("", exclusive=True).queue
        channel.queue_bind(queue, "filing.events", EVENT)

        yield lambda: taken(channel, queue)


def test_every_example_of_the_page_is_run():
    assert [name for name, _, _ in examples()] == list(EXAMPLES)


@pytest.mark.parametrize(
    ("name", "language", "program"), examples(), ids=[name for name, _, _ in examples()]
)
def test_a_department_hears_of_a_reopening(
    name, language, program, distributed, broker, listening, tmp_path, request
):
    node = request.getfixturevalue("node") if language == "js" else None
    distributed.begin()
    with running(name, program, language, broker, tmp_path, node) as client:
        shop = distributed.reopened("restaurant")
        sent = listening()
        heard = client.hears()

        assert heard["data"] == json.loads(sent.body)
        assert heard["data"]["enterprise_id"] == shop
        assert heard["data"]["reopened_on"] == FIRST_DAY.isoformat()
        if "id" in heard:
            assert heard["id"] == sent.headers["cloudEvents_id"]
            assert heard["key"] == shop

        # what was heard, by the catalogue that the department reads, and by the contract
        fields = documented_fields(EVENT)
        needed = {n for n, (_, notes) in fields.items() if "may be left out" not in notes}
        assert needed <= heard["data"].keys() <= fields.keys()
        assert contracts()[EVENT].from_data(heard["data"]).key == shop

        # and by the document that its tools read
        judge(f"/components/messages/{EVENT}/headers").validate(sent.headers)
        judge(f"/components/messages/{EVENT}/payload").validate(heard["data"])


def test_the_examples_page_says_what_travels(distributed, listening):
    """The tables of headers and properties, row by row."""
    distributed.begin()
    distributed.reopened()
    sent = listening()
    headers = table("What arrives", 1)
    always = {name for name, (when, _) in headers.items() if when == "always"}
    assert always <= sent.headers.keys() <= headers.keys()

    properties = table("What arrives", 2)
    assert sent.properties.keys() - {"application_headers"} == properties.keys()
    for name, (value,) in properties.items():
        repeated = value.strip("`")
        if repeated in sent.headers:
            assert sent.properties[name] == sent.headers[repeated]
    assert sent.properties["content_type"] == properties["content_type"][0]
    assert sent.properties["content_encoding"] == properties["content_encoding"][0]
    assert sent.properties["delivery_mode"] == 2


def test_each_exchange_of_the_page_is_there_as_it_says(distributed, broker):
    with connected(broker) as channel:
        for exchange in table("What arrives", 0):
            channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)


def test_a_repeat_is_known_by_its_id(distributed, broker, listening, tmp_path):
    """pika's example keeps the ids: a repeat between two reopenings is not heard."""
    (program,) = (code for name, _, code in examples() if name == "pika")
    distributed.begin()
    with running("pika", program, "python", broker, tmp_path) as client:
        first = distributed.reopened()
        sent = listening()
        assert client.hears()["key"] == first
        with connected(broker) as channel:
            again = amqp.Message(sent.body, **sent.properties)
            channel.basic_publish_confirm(again, "filing.events", EVENT)
        second = distributed.reopened()
        assert client.hears()["key"] == second


def test_who_was_away_for_an_hour_catches_up_from_its_queue(distributed, broker, tmp_path):
    """Each reopening once, in the order in which they were sent; then it goes on."""
    (program,) = (code for name, _, code in examples() if name == "pika")
    distributed.begin()
    with running("pika", program, "python", broker, tmp_path) as client:
        first = distributed.reopened()
        assert client.hears()["key"] == first
    shops = [distributed.reopened() for _ in range(3)]
    distributed.client.post("/v1/clock", {"at": f"{FIRST_DAY}T01:00:00+08:00"})
    shops += [distributed.reopened() for _ in range(2)]
    with running("pika", program, "python", broker, tmp_path) as client:
        assert [client.hears()["key"] for _ in shops] == shops
        last = distributed.reopened()
        assert client.hears()["key"] == last


@pytest.mark.parametrize("name", ["FastStream", "Node: amqplib"])
def test_what_cannot_be_read_is_set_aside(name, distributed, broker, tmp_path, request):
    ((_, language, program),) = (each for each in examples() if each[0] == name)
    node = request.getfixturevalue("node") if language == "js" else None
    distributed.begin()
    with running(name, program, language, broker, tmp_path, node) as client:
        with connected(broker) as channel:
            unreadable = amqp.Message("{", content_type="application/json")
            channel.basic_publish_confirm(unreadable, "filing.events", EVENT)
        shop = distributed.reopened()
        assert client.hears()["key"] == shop
        with connected(broker) as channel:
            assert taken(channel, f"{queue_of(EXAMPLES[name])}.dead").body == "{"
