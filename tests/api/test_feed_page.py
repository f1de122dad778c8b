"""What docs/feed.md prints works as printed."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import eventlet
import pytest

from chassis.messaging.memory_bus import EmbeddedBus
from services.gateway.event_log import feed, stream
from services.gateway.service import OFFERED
from services.gateway.webhooks import deliveries, endpoints
from tests.district import TestDistrict
from tests.receivers import until

PAGE = (Path(__file__).parents[2] / "docs" / "feed.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
POLLING, STREAMING, REGISTERING, RECEIVING = range(4)


@pytest.fixture(scope="module")
def district(tmp_path_factory):
    data = tmp_path_factory.mktemp("district")
    running = TestDistrict(data, EmbeddedBus(), webhooks_to="private")
    running.begin()
    yield running
    running.stop()


class Heard:
    """The lines of JSON that an example prints."""

    def __init__(self, process):
        self.process = process
        self.lines = Queue()
        Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def next(self):
        return until(self._now)

    def _now(self):
        try:
            line = self.lines.get_nowait()
        except Empty:
            return None
        assert line is not None, f"it has ended: {self.process.stderr.read()}"
        return line


@contextmanager
def running(number, **environment):
    language, text = EXAMPLES[number]
    program = ["bash", "-euc", text] if language == "sh" else [sys.executable, "-c", text]
    process = subprocess.Popen(
        program,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        yield Heard(process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_every_example_of_the_page_is_run():
    assert [language for language, _ in EXAMPLES] == ["sh", "python", "sh", "python"]


@pytest.mark.parametrize("number", [POLLING, STREAMING])
def test_who_reads_as_the_page_says_hears_of_each_enterprise_once(district, number):
    first = district.register()
    known = [
        item["subject"]
        for item in district.client.get("/v1/events?limit=100&type=enterprise-registered")["items"]
    ]
    who = {"BASE": district.client.base, "TOKEN": district.client.token}
    with running(number, **who) as heard:
        assert [heard.next()["enterprise"] for _ in known] == known
        assert known[-1] == first
        second = district.register()
        assert heard.next()["enterprise"] == second


def test_who_is_called_as_the_page_says_hears_of_an_enterprise(district):
    port = free_port()
    where = {"BASE": district.client.base, "TOKEN": district.client.token}
    where["RECEIVER"] = f"http://127.0.0.1:{port}/"
    with running(REGISTERING, **where) as heard:
        made = heard.next()
    assert made["types"] == ["enterprise-registered"]
    with running(RECEIVING, SECRET=made["secret"], PORT=str(port)) as heard:
        until(lambda: is_open(port))
        shop = district.register()
        assert heard.next()["enterprise"] == shop


def free_port():
    with eventlet.listen(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def is_open(port):
    try:
        eventlet.connect(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_the_numbers_of_the_page_are_those_of_the_code():
    from chassis.http import client
    from services.gateway.webhooks import dispatcher

    assert f"{feed.WINDOW * feed.WINDOWS:,} positions" in PAGE
    assert f"after {feed.HELD:,} further events" in PAGE
    assert f"After {stream.KEEP_ALIVE:g} s of silence" in PAGE
    assert f"2xx within {client.WITHIN:g} s" in PAGE
    assert f"At most {client.MOST_READ // 1024} KiB" in PAGE
    assert f"While {deliveries.MOST_WAITING:,} events wait" in PAGE
    assert f"kept for {deliveries.KEPT / 86_400:g} days" in PAGE
    assert f"{endpoints.MOST} webhooks are active" in PAGE.replace("\n", " ")
    assert dispatcher.PATIENCE == 5 * dispatcher.DAY
    assert "Five days of nothing but failures" in PAGE.replace("\n", " ")
    assert "command-settled" not in OFFERED
