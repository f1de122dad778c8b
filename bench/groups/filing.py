"""A filing through the whole path, compared with FastAPI inserting one row; and the latency when
idle."""

from __future__ import annotations

from collections.abc import Iterator

from bench.loads import DAY, Outcome, morning, put, register, rest
from bench.measure import Figure, percentile
from bench.peers import fastapi_tables
from bench.stage import Program, Stage
from console.admin.tokens import issuer_of, token_of_all
from console.demo.fleet import Fleet
from tests.servers.programs import accepts, free_ports, wait_until

GROUP = "filing"
CONNECTIONS = 64
PEER = "FastAPI with async SQLAlchemy inserting one row, one worker"
DATABASE = "bench_fastapi"
IDLE = 4.0
"""Filings per second at which the district is idle in between."""


def run(stage: Stage) -> Iterator[Figure]:
    """Measure both in turn, round by round; then ours alone, idle and by load."""
    scale = stage.scale
    seconds, rounds = scale.of(10, 4), scale.rounds
    rates = (10, 25, 50, 100, 200, 300) if not scale.quick else (10, 50, 100)
    step = scale.of(6, 3)
    idle_seconds = scale.of(30, 6)
    shops = int(rounds * (seconds + 2) * 700 + sum(rates) * step + idle_seconds * IDLE) + 100
    shops = min(shops, int(scale.of(45_000, 8_000)))
    with free_ports(1) as (port,), stage.district() as fleet, fastapi(stage, port):
        client = fleet.client()
        morning(client)
        stage.say(f"registering {shops:,} shops")
        ours = _Ours(stage, fleet, register(client, shops))
        rest(stage)
        yield from idle(ours, idle_seconds)
        there = f"http://127.0.0.1:{port}"
        found: dict[str, list[Outcome]] = {"ours": [], "peer": []}
        told = {"connections": CONNECTIONS, "seconds": seconds, "warmup": scale.of(2, 1)}
        for turn in range(rounds):
            found["ours"].append(ours.put(int(700 * (seconds + 2)), **told))
            peers = {"shops": ["enterprise-1"], "day": DAY, **told}
            found["peer"].append(put(stage, "filing", there, **peers))
            told_rates = {who: f"{all_[-1].rate('filing'):,.0f}/s" for who, all_ in found.items()}
            stage.say(f"filing, {CONNECTIONS} connections: round {turn + 1}: {told_rates}")
        yield Figure(
            GROUP,
            f"a filing through the whole path, {CONNECTIONS} connections",
            "requests/s",
            [outcome.rate("filing") for outcome in found["ours"]],
            1.0,
            PEER,
            [outcome.rate("filing") for outcome in found["peer"]],
            least=0.5,
            note=_statuses(found["ours"]),
        )
        yield Figure(
            GROUP,
            f"the same, p95, {CONNECTIONS} connections",
            "ms",
            [outcome.p(0.95, "filing") for outcome in found["ours"]],
            None,
            PEER,
            [outcome.p(0.95, "filing") for outcome in found["peer"]],
            better="less",
        )
        yield by_load(stage, ours, there, rates, step)


class _Ours:
    """The district, and the shops that have not filed yet: each files once."""

    def __init__(self, stage: Stage, fleet: Fleet, shops: list[str]) -> None:
        self.stage = stage
        self.fleet = fleet
        self.shops = shops
        self.token = token_of_all(issuer_of(fleet.settings))

    def put(self, most: int, **told: object) -> Outcome:
        """File for the next shops, at most `most`; the rest file later."""
        shops, self.shops = self.shops[:most], self.shops[most:]
        given = {"shops": shops, "day": DAY, **told}
        outcome = put(self.stage, "filing", self.fleet.bases[0], self.token, **given)
        self.shops = shops[outcome.turns :] + self.shops
        return outcome


def _statuses(outcomes: list[Outcome]) -> str:
    total: dict[str, int] = {}
    for outcome in outcomes:
        for status, count in outcome.statuses.items():
            total[status] = total.get(status, 0) + count
    return "Answers: " + ", ".join(f"{count} × {status}" for status, count in sorted(total.items()))


def idle(ours: _Ours, seconds: float) -> Iterator[Figure]:
    """Measure one filing at a time, and the delay until the next service has handled its event."""
    outcome = ours.put(int(seconds * IDLE) + 10, connections=4, steps=[[IDLE, seconds]])
    note = f"{len(outcome.samples)} filings, {IDLE:g} a second"
    median_ = [outcome.p(0.5, "filing")]
    yield Figure(GROUP, "a filing, idle, median", "ms", median_, 15.0, better="less", note=note)
    waits = handled(ours.stage)
    note = f"filing to inspection, from row to row of the outboxes; {len(waits)} events"
    for part, goal in ((0.5, 10.0), (0.99, 50.0)):
        yield Figure(
            GROUP,
            f"commit to handled, next service, idle, p{part * 100:g}",
            "ms",
            [percentile(waits, part)],
            goal,
            better="less",
            note=note,
        )


def handled(stage: Stage) -> list[float]:
    """Return the delays from each event of filing to the row that inspection wrote for it (ms).

    Both times are taken just before a commit: one commit lies in between.
    """
    with stage.connect("filing") as said, stage.connect("inspection") as heard:
        at = dict(said.execute("SELECT id, written_at FROM outbox").fetchall())
        rows = heard.execute("SELECT causationid, min(written_at) FROM outbox GROUP BY 1")
        return [(when - at[cause]) * 1000 for cause, when in rows.fetchall() if cause in at]


def by_load(stage: Stage, ours: _Ours, there: str, rates: tuple[int, ...], step: float) -> Figure:
    """Measure the latency of a filing at increasing rates."""
    lines: dict[str, list[dict[str, float]]] = {}
    last = [0.0]
    for rate in rates:
        told = {"connections": 2 * CONNECTIONS, "steps": [[rate, step]]}
        peers = {"shops": ["enterprise-1"], "day": DAY, **told}
        for who, outcome in (
            ("ours", ours.put(int(rate * step) + 10, **told)),
            ("FastAPI", put(stage, "filing", there, **peers)),
        ):
            for part in (0.5, 0.95):
                value = round(outcome.p(part, "filing"), 2)
                lines.setdefault(f"{who}, p{part * 100:g}", []).append({"x": rate, "y": value})
        last = [lines["ours, p95"][-1]["y"]]
        stage.say(f"{rate} filings/s: { {name: line[-1]['y'] for name, line in lines.items()} }")
    return Figure(
        GROUP,
        f"a filing, {rates[-1]} a second, p95",
        "ms",
        last,
        better="less",
        series=[{"plot": "Latency by load", "x": "filings/s", "y": "ms", "log": False,
                 "lines": lines}],
    )  # fmt: skip


def fastapi(stage: Stage, port: int) -> Program:
    """Start the peer, and wait until it accepts connections."""
    stage.new_database(DATABASE)
    with stage.connect(DATABASE) as database:
        database.execute(fastapi_tables.FILINGS)
    url = stage.database.url(DATABASE).replace("postgresql+psycopg", "postgresql+asyncpg")
    words = ["uvicorn", "bench.peers.fastapi_insert:app", "--port", port, "--workers", 1]
    program = stage.peer(*words, "--log-level", "warning", DATABASE_URL=url)
    wait_until(lambda: accepts(port) or program.process.poll() is not None, "FastAPI accepts", 60)
    return program
