"""What operations see: alive, ready, measured, and one log line a request."""

import json

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from chassis.storage.tables import outbox
from tests.api.conftest import problem
from tools.documents import ASYNCAPI


class Lines:
    """Takes what is logged."""

    def __init__(self):
        self.written = []

    def __getattr__(self, level):
        return lambda event, **more: self.written.append({"level": level, "event": event} | more)


@pytest.fixture
def lines(district, monkeypatch):
    taken = Lines()
    monkeypatch.setattr(application(district), "log", taken)
    return taken.written


def application(district):
    return district.running.hosts["gateway"].web._serv.app


def test_a_process_that_answers_is_alive(district):
    assert district.client.get("/livez") == {"alive": True}


def test_a_process_is_ready_while_every_database_and_the_bus_answer(district, monkeypatch):
    assert set(district.client.get("/readyz").values()) == {True}
    with monkeypatch.context() as patch:
        patch.setattr(district.store("filing"), "answers", lambda: False)
        answer = district.client.request("GET", "/readyz")
        assert answer.status == 503
        assert [name for name, ready in answer.json().items() if not ready] == ["filing"]
        assert district.client.request("GET", "/livez").status == 200
    with monkeypatch.context() as patch:
        patch.setattr(district.running.bus, "connected", lambda: False)
        assert district.client.request("GET", "/readyz").status == 503
    assert district.client.request("GET", "/readyz").status == 200


def test_the_events_are_described_as_the_repository_keeps_them(district):
    """It is always open, as the probes are: nothing of the district's own is in it."""
    answer = district.client.request("GET", "/asyncapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == json.loads(ASYNCAPI.read_text(encoding="utf-8"))
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert district.client.request("GET", "/asyncapi.json", headers=tag).status == 304
    route, _ = application(district).map.bind("").match("/asyncapi.json")
    assert route.always


def test_what_was_done_can_be_measured(district, say):
    district.client.post("/v1/enterprises", say.enterprise())
    district.client.request("BREW", "/v1/enterprises")
    answer = district.client.request("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.data.decode()
    for line in (
        'bihuan_messages_total{outcome="done",service="filing"}',
        'bihuan_batch_seconds_count{service="gateway"}',
        'bihuan_published_total{service="gateway"}',
        'bihuan_outbox_unsent{service="gateway"}',
        'bihuan_outbox_oldest_seconds{service="filing"}',
        'bihuan_parked_messages{service="gateway",state="exhausted"}',
        'bihuan_parked_messages_oldest_seconds{service="gateway",state="retrying"}',
        'bihuan_http_request_seconds_count{method="POST",route="/v1/enterprises",status="201"}',
    ):
        assert line in text, line
    assert "BREW" not in text


def test_a_request_is_one_line_that_names_its_route_and_nobody(district, say, lines):
    shop = district.client.post("/v1/enterprises", say.enterprise())["enterprise_id"]
    district.client.get(f"/v1/enterprises/{shop}")
    district.client.request("POST", "/v1/enterprises", {})
    district.client.request("GET", "/nowhere")
    assert all(line.pop("ms") >= 0 for line in lines)
    assert lines == [
        {"level": "info", "event": "request", "method": method, "route": route, "status": status}
        for method, route, status in (
            ("POST", "/v1/enterprises", 201),
            ("GET", "/v1/enterprises/<id>", 200),
            ("POST", "/v1/enterprises", 422),
            ("GET", "-", 404),
        )
    ]


def test_a_database_that_does_not_answer_is_said_so(district, lines, monkeypatch):
    def fail(*_):
        raise OperationalError("SELECT 1", {}, Exception("secret address"))

    monkeypatch.setattr(district.store("gateway").engine, "connect", fail)
    answer = district.client.request("GET", "/v1/enterprises")
    problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert b"secret" not in answer.data
    assert [line["event"] for line in lines] == ["database unavailable", "request"]


def test_a_failure_is_in_the_log_and_not_in_the_answer(district, lines, monkeypatch):
    def fail(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(district.service("gateway").components.intake, "submit", fail)
    answer = district.client.request("POST", "/v1/complaints", _complaint())
    problem(answer, 500)
    assert b"secret" not in answer.data
    assert [line["event"] for line in lines] == ["request failed", "request"]
    assert isinstance(lines[0]["exc_info"], RuntimeError)


def _complaint():
    return {"track": "report", "channel": "12315", "content": "堂食", "against": "某店"}


def test_a_trace_that_a_caller_began_goes_on_in_the_services(district):
    begun = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for given, kept in ((begun, 1), ("rubbish\x7f", 0)):
        before = _traces(district, begun)
        headers = {"traceparent": given}
        made = district.client.request("POST", "/v1/complaints", _complaint(), headers)
        assert made.status == 201
        assert (_traces(district, begun) > before) == bool(kept)


def _traces(district, wanted):
    district.settle()
    with district.store("complaints").engine.connect() as connection:
        query = select(func.count()).where(outbox.c.traceparent == wanted)
        return connection.scalar(query)


def test_every_answer_is_json_of_one_line(district):
    for path in ("/v1/statistics", "/v1/enterprises", "/livez", "/nowhere"):
        answer = district.client.request("GET", path)
        assert answer.data.endswith(b"\n")
        assert answer.data.count(b"\n") == 1
        json.loads(answer.data)
