"""A short run of the distributed district's faults; `make faults` runs longer, with every kind."""

import re
from pathlib import Path

import pytest

from tests.conftest import SEED
from tests.faults.judging import whole
from tests.faults.kinds import KINDS as EVERY_KIND
from tests.faults.outages import WRONGS
from tests.faults.run import play
from tests.servers import Unavailable

KINDS = (
    "kill",
    "stop-relay",
    "broker-restart",
    "database-restart",
    "broker-cut",
    "database-cut",
    "queue-deleted",
    "duplicated",
    "forged",
    "unreadable",
    "wrong-partition",
    "read-only",
)


def test_a_distributed_district_stands_half_a_minute_of_faults(tmp_path):
    """Which of them strike follows from the seed and from the machine: nothing is timed."""
    try:
        report = play(tmp_path, seed=SEED, minutes=0.4, kinds=KINDS, rate=15.0)
    except Unavailable as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    assert whole(report), (report["evidence"], report["schedule"], report["exits"])
    assert report["accepted"] > 0
    assert report["answered"]
    assert report["struck"]
    assert [exit_ for exit_ in report["exits"] if exit_["code"]] == []


def test_the_page_on_faults_names_every_kind():
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z-]+)`", page.partition("## Kinds")[2].partition("##")[0]))
    named |= {f"{which}{wrong}" for which in ("broker-", "database-") for wrong in WRONGS}
    assert set(EVERY_KIND) - named == set()
    assert len(EVERY_KIND) == 62
