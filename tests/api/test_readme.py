"""Every command of the README works as printed."""

import json
import os
import re
import subprocess
from datetime import date
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_walks_round_the_loop_as_printed(make_district):
    """The district stands where the demo leaves it: on 6 March 2020."""
    district = make_district()
    district.begin(date(2020, 3, 6))
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    script = "\n".join(blocks).replace("http://127.0.0.1:8000", district.client.base)
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**os.environ, "TOKEN": district.client.token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    answers = [json.loads(line) for line in out.decode().splitlines()]

    opened = next(a for a in answers if a.get("state") == "open" and "reopened_on" in a)
    assert opened["name"] == "閉環小館"
    story, call = (a["items"] for a in answers if "items" in a)
    slips = {entry["type"] for entry in story if entry["type"].endswith("-slip-issued")}
    assert len(slips) == 4, "all four slips"
    assert all(entry["caused_by"]["type"] for entry in story)
    assert call[0]["type"] == "complaint-received"
    assert "complaint-answered" in [e["type"] for e in call]
    assert "13800000000" in [answer.get("phone") for answer in answers]
    form, rules = [a for a in answers if a.get("status", 200) >= 400]
    assert {error["pointer"] for error in form["errors"]} >= {"#/name", "#/kind", "#/industry"}
    assert {error["pointer"] for error in rules["errors"]} == {
        "#/credit_code",
        "#/industry",
        "#/grid",
    }
