"""What is loaded in bulk is what the services would have written."""

import re

import psycopg
import pytest

from bench import loading
from bench.loading import Templates
from bench.loads import registration
from console.demo.synthetic import credit_code
from console.runtime.district import SERVICES
from services.gateway.event_log.chain import CHAINS
from services.gateway.resources.search import bigrams
from tests.broker.conftest import distributed  # noqa: F401  (the fixture)

COPIES = 3
TOLD = [said for n in (1, 2, 3, 9) for said in (f"第{n}號店", credit_code(n, sole_trader=True))]
NUMBERS = "|".join([*TOLD, *map(bigrams, TOLD)])


def lifecycle(district, number):
    """Have an enterprise registered, and a complaint about it answered."""
    shop = district.client.post(
        "/v1/enterprises", registration(number), Idempotency_Key=f"shop {loading_id(number)}"
    )["enterprise_id"]
    district.settle()
    call = district.complain(shop)
    district.client.post(f"/v1/complaints/{call}/acceptance", {"by": "desk-1"})
    (check,) = district.client.everything(f"/v1/visits?complaint_id={call}")
    district.visit(visit_id=check["id"])
    assert district.client.get(f"/v1/complaints/{call}")["state"] == "answered"
    district.settle()


def loading_id(number):
    return f"00000000-0000-7000-8000-{number:012d}"


def set_series(connect, last):
    kinds = ("notice", "closure", "prompt", "problem", "supervision", "feedback")
    with connect("inspection") as connection:
        for kind in kinds:
            connection.execute(
                "INSERT INTO series VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET last = excluded.last",
                [f"350503/{kind}/2020", last],
            )


@pytest.fixture
def connect(postgres):
    def connected(service):
        url = postgres.format(service=service).replace("+psycopg", "")
        return psycopg.connect(url, autocommit=True)

    return connected


@pytest.fixture
def loaded(distributed, connect):  # noqa: F811
    """A district with one lifecycle of the services' own, three copies, and one more of its own."""
    distributed.begin()
    distributed.client.keys = map(loading_id, range(1000))  # a repeat's key is known by its form
    set_series(connect, loading.NUMBER - 1)
    templates = Templates(connect)
    lifecycle(distributed, loading.NUMBER)
    templates.take()
    templates.load(COPIES, expiring=COPIES)
    set_series(connect, 8)
    again = Templates(connect)
    lifecycle(distributed, 9)
    again.take()
    return templates, again


def masked(row):
    """Leave of a row what is the same for every lifecycle."""
    text = "\t".join(row)
    text = re.sub(loading._UUID, "id", text)
    text = re.sub(NUMBERS, "shop", text)
    text = re.sub(r"\b[0-9a-f]{16}\b|\b[0-9a-f]{64}\b", "digest", text)
    text = re.sub(r"\b1[78]\d{8}(\.\d+)?\b", "moment", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "time", text)
    text = re.sub(r"(〕|\\+u3015)\d+(號|\\+u865f)", "paper", text)
    text = re.sub(r"story-\S+", "key", text)
    return re.sub(
        r"[A-Za-z0-9_-]{2,8}[.:$][A-Za-z0-9+/=_-]{30,}|[A-Za-z0-9+/_-]{40,}=*", "sealed", text
    )


def test_the_loaded_rows_are_those_that_the_services_write(loaded, connect):
    templates, again = loaded
    by_table = {(m.service, m.table): m for m in again.templates}
    assert {(m.service, m.table) for m in templates.templates} == by_table.keys()
    for template in templates.templates:
        own = by_table[template.service, template.table]
        with connect(template.service) as connection:
            rows = loading.read(connection, template.table)[1]
        known = {tuple(row) for m in (template, own) for row in m.rows}
        before = templates._known[template.service, template.table]
        copied = [row for row in rows if tuple(row) not in known | before]
        wanted = sorted(masked(bare(own, row)) for row in own.rows)
        assert len(copied) == COPIES * len(own.rows), template.table
        assert sorted({*map(masked, (bare(own, row) for row in copied))}) == sorted({*wanted})


def bare(template, row):
    """Leave the position out."""
    return [cell for n, cell in enumerate(row) if n != template.counted]


def test_the_chains_hold_and_the_figures_count_what_was_loaded(loaded, distributed):  # noqa: F811
    for chain in CHAINS.values():
        end, broken = chain.verify(distributed.store("gateway"))
        assert broken is None
        assert end.position
    figures = distributed.statistics()["complaints"]
    assert (figures["received"], figures["answered"]) == (COPIES + 2, COPIES + 2)


def test_what_was_loaded_can_be_worked_with(loaded, distributed):  # noqa: F811
    page = distributed.client.everything("/v1/complaints?state=answered")
    assert len(page) == COPIES + 2
    (shop,) = distributed.client.everything("/v1/enterprises?q=第2號店")
    call = distributed.complain(shop["id"])
    assert distributed.client.get(f"/v1/complaints/{call}")["state"] == "received"
    assert {kind.name for kind in SERVICES} == {*distributed.hears}
