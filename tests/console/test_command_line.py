"""What an operator types wrong is one sentence and exit code 2."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from console.demo.figures import ARTICLE, REOPENED, compare, scaled
from console.demo.plan import plan
from tests import PATIENCE


def bihuan(*words, **environ):
    command = [sys.executable, "-m", "console.main", *map(str, words)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environ},
        text=True,
    )
    out, errors = process.communicate(timeout=120)
    return process.returncode, out, [line for line in errors.splitlines() if line[0] != "{"]


@pytest.mark.parametrize(
    ("words", "environ", "sentence"),
    [
        (("demo", "--scale", "3"), {}, "--scale must be greater than 0 and at most 1."),
        (("demo", "--report", "nowhere/r.json"), {}, "--report: there is no folder"),
        (("up",), {"LOG_LEVEL": "loud"}, "LOG_LEVEL must be one of"),
        (("up",), {"AMQP_URI": "amqp://127.0.0.1"}, "AMQP_URI needs a PostgreSQL DATABASE_URL"),
        (("up",), {"RULEBOOK": "nowhere"}, "nowhere contains no TOML files."),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, words, environ, sentence):
    code, _, errors = bihuan(*words, DATA=str(tmp_path), **environ)
    assert code == 2
    assert len(errors) == 1
    assert errors[0].startswith(f"bihuan: {sentence}")


def test_a_port_that_is_taken_is_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words in (("up",), ("demo", "--once", "--scale", "0.01")):
            code, _, errors = bihuan(*words, "--port", port, "--data", tmp_path / "d")
            assert code in (1, 2)
            assert errors == [f"bihuan: Port {port} cannot be opened: Address already in use."]


def test_the_demo_reports_every_figure_and_says_by_its_exit_code_whether_all_are_equal(tmp_path):
    report = tmp_path / "report.json"
    words = ("demo", "--once", "--scale", "0.02", "--port", 0, "--data", tmp_path / "d")
    code, out, _ = bihuan(*words, "--report", report)
    rows = json.loads(report.read_text(encoding="utf-8"))
    assert code == 0
    assert "已開復工企業" in out
    assert {row["figure"]: row["article"] for row in rows} == scaled(0.02)
    assert all(row["equal"] and row["article"] == row["measured"] for row in rows)


def test_a_district_stops_when_it_is_asked_to(tmp_path):
    command = [sys.executable, "-m", "console.main", "up", "--port", "0", "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert b"listens on" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0


@pytest.mark.parametrize("scale", [0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0])
def test_the_plan_adds_up_at_every_scale(scale):
    month, figures = plan(scale), scaled(scale)
    assert figures["reopened.total"] == sum(round(ARTICLE[name] * scale) for name in REOPENED)
    reopening = month.enterprises[: figures["reopened.total"]]
    assert sum(e.headcount for e in reopening) == figures["on_duty.total"]
    assert sum(e.out_of_province for e in reopening) == figures["on_duty.out_of_province"]
    assert all(0 <= e.out_of_province <= e.headcount for e in reopening)
    assert sum(map(sum, month.patrols.values())) == figures["inspection.officers_dispatched"]
    complaints = [c.finding for c in month.complaints if c.finding]
    assert len(month.findings) + len(complaints) == figures["inspection.issues_found"]
    small = [e for e in month.enterprises if e.size in ("small", "micro")]
    assert len(small) == figures["insurance.enterprises_covered"]
    codes = [e.registration()["credit_code"] for e in month.enterprises]
    assert len(set(codes)) == len(codes)


def test_a_figure_that_is_wrong_or_missing_is_not_equal():
    assert not any(score.equal for score in compare(1.0, {}))
    (wrong,) = [s for s in compare(1.0, {"complaints": {"received": 33}}) if s.measured]
    assert not wrong.equal
