"""No question of the services reads a table from end to end, however much is in it."""

import re
from pathlib import Path

import pytest

from chassis.storage import migrations
from chassis.storage.store import Store
from chassis.storage.tables import chassis_metadata
from console.runtime.district import SERVICES
from services.gateway.resources import VIEWS
from tests import servers
from tests.conftest import available
from tests.plans import asking
from tests.plans.filling import ROWS, SMALL, fill

DOCUMENT = Path(__file__).parents[2] / "docs" / "plans.md"
HEAD = f"""# Query plans

What the services ask of PostgreSQL, and how it finds the answer, with {ROWS:,} rows in every table
that grows with use. `make docs` writes this page; `tests/plans` asks the same questions, and fails
when a plan reads a table from end to end. The tables of the chassis are shown for filing and the
read models for enterprises: the others' are the same.
"""
MOST_READ_IN_VAIN = ROWS // 3
"""Rows that a plan may read and then leave out: more, and it is a scan by another name. A BRIN
index knows ranges of 128 pages, and has not heard of the latest."""
MAY_READ_ALL = {
    "parked messages by state",  # parked messages are few
    "what was sent since a moment, again",  # one pass, when a queue was lost, page by page
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The databases of the five services, each table that grows with many rows in it."""
    names, made = [kind.name for kind in SERVICES], {}
    folder = tmp_path_factory.mktemp("plans")
    with available(servers.postgres(folder, databases=names)) as server:
        server.execute("ALTER SYSTEM SET fsync = off")
        server.execute("SELECT pg_reload_conf()")
        for kind in SERVICES:
            made[kind.name] = store = Store(kind.name, server.url(kind.name), kind.metadata)
            migrations.apply(store)
            filled = (
                (chassis_metadata, kind.metadata) if kind.name == "filing" else (kind.metadata,)
            )
            with store.dialect.exclusive() as connection:
                for metadata in filled:
                    fill(connection, metadata)
            with store.engine.connect() as connection:
                connection.exec_driver_sql("SET statement_timeout = 0")  # on a busy machine
                connection.exec_driver_sql("VACUUM ANALYZE")
                connection.exec_driver_sql("RESET statement_timeout")
        yield made
        for store in made.values():
            store.close()


@pytest.fixture(scope="module")
def plans(request, stores):
    """The plan of every statement of every question: (service, question, statement, plan)."""
    found = []
    for kind in SERVICES:
        store = stores[kind.name]
        for question, ask in questions(store, kind):
            with asking.heard(store) as statements:
                ask()
            looks = [said for said in statements if re.match(r"SELECT|UPDATE|DELETE", said[0])]
            assert looks, question
            for statement, parameters in looks:
                found.append(
                    (kind.name, question, statement, explain(store, statement, parameters))
                )
    if request.config.getoption("--redraw"):
        DOCUMENT.write_text(document(found), encoding="utf-8")
    return found


def questions(store, kind):
    if kind.name == "filing":  # the others' tables of the chassis are the same
        yield from asking.of_the_chassis(store)
    if kind.name == "gateway":
        yield from asking.of_the_gateway(store)
    else:
        yield from asking.of_the_domain(store, kind)


def explain(store, statement, parameters):
    """Have a statement planned and carried out, and undo it."""
    wanted = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement
    with asking.undone(store) as uow:
        (answer,) = uow.connection().exec_driver_sql(wanted, parameters).one()
        return answer[0]["Plan"]


def nodes(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def read_in_vain(node):
    """Count the rows that a step has read and left out, by a filter or as no longer there."""
    names = "Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter"
    return sum(node.get(name, 0) for name in names) * node["Actual Loops"]


def drawn(plan, depth=0):
    """Write a plan as PostgreSQL does, without what differs from run to run."""
    name = plan["Node Type"]
    if "Index Name" in plan:
        name += f" using {plan['Index Name']}"
    if "Relation Name" in plan:
        name += f" on {plan['Relation Name']}"
    conditions = (f"{key}: {plan[key]}" for key in ("Index Cond", "Filter") if key in plan)
    words = re.sub(r"'\d{10}\.\d+'", "'now'", "; ".join([name, *conditions]))
    yield "  " * depth + re.sub(r"(?<='{)[^}]*", in_order, words)
    for part in plan.get("Plans", ()):
        yield from drawn(part, depth + 1)


def in_order(values):
    return ",".join(sorted(values.group().split(",")))


def is_small(service, table):
    return table in SMALL or (service != "filing" and table in chassis_metadata.tables)


def told(found):
    return "\n".join(
        f"{service}: {question}\n  {statement}\n    " + "\n    ".join(drawn(plan))
        for service, question, statement, plan in found
    )


def test_no_plan_reads_a_table_from_end_to_end(plans):
    scans = [
        found
        for found in plans
        for node in nodes(found[3])
        if node["Node Type"] == "Seq Scan" and not is_small(found[0], node["Relation Name"])
    ]
    assert not scans, told(scans)


def test_no_plan_reads_much_in_vain(plans):
    found = [p for p in plans if max(map(read_in_vain, nodes(p[3]))) > MOST_READ_IN_VAIN]
    assert {p[1] for p in found} <= MAY_READ_ALL, told(found)


def test_no_plan_goes_through_an_index_from_end_to_end(plans):
    def is_long(node):
        return "Index Name" in node and node["Actual Rows"] * node["Actual Loops"] > ROWS / 4

    found = [p for p in plans if any(map(is_long, nodes(p[3])))]
    assert {p[1] for p in found} <= MAY_READ_ALL, told(found)


def document(plans):
    """Write docs/plans.md."""
    lines, last = [HEAD], (None, None)
    others = re.compile(rf"\b({'|'.join(VIEWS.keys() - {'enterprises'})})\b")
    for service, question, statement, plan in plans:
        if service == "gateway" and others.search(question):
            continue
        if service != last[0]:
            lines.append(f"## {service}\n")
        if (service, question) != last:
            lines.append(f"### {question[0].upper()}{question[1:]}\n")
        short = re.sub(
            r"SELECT [\w., ]*\.[\w., ]* FROM", "SELECT … FROM", " ".join(statement.split())
        )
        lines.append(f"```sql\n{short}\n```\n")
        lines.append("```\n" + "\n".join(drawn(plan)) + "\n```\n")
        last = service, question
    return "\n".join(lines)
