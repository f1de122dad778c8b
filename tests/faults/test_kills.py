"""kill -9 of the embedded district, at random moments and at each exact point of its work."""

import json
import random
from contextlib import suppress

import eventlet
import pytest

from chassis.settings import Settings
from console.admin.tokens import issuer_of, token_of_all
from console.client import Client
from console.demo.figures import compare
from console.demo.plan import plan
from console.demo.replay import Replay
from console.runtime.process import Child, ChildEnded
from tests import PATIENCE
from tests.conftest import SEED
from tests.faults.crashing import POINTS
from tests.faults.deadly import DEADLY_NAME
from tests.faults.judging import embedded, judge, whole


def assert_whole(data):
    verdict = judge(embedded(data))
    assert whole(verdict), verdict["evidence"]
    assert not verdict["parked"], verdict["parked_messages"]


class Resurrected:
    """A district that is started again on the same data and port whenever it has died."""

    def __init__(self, data, ways_to_die=()):
        self.data = data
        self.ways = list(ways_to_die)
        self.deaths = 0
        self.port = 0
        self.stopping = False

    def __enter__(self):
        self._start()
        self.keeper = eventlet.spawn(self._keep_alive)
        return self

    def _start(self):
        self.child = Child(self.data, self.port, entry=self._entry())
        self.child.__enter__()
        self.port = int(self.child.base.rpartition(":")[2])
        self.lives = True

    def _entry(self):
        if not self.ways:
            return ("console.main",)
        point, nth = self.ways.pop(0)
        return ("tests.faults.crashing", point, str(nth))

    def _keep_alive(self):
        while not self.stopping:
            self.child.process.wait()
            while not self.stopping:
                self.deaths += 1
                with suppress(ChildEnded):  # it may die before it listens, of what was left
                    self._start()
                    break

    def client(self):
        """Give a client that plays everybody, and is patient with a district that dies."""
        issuer = issuer_of(Settings.read({}, data=self.data))
        base = f"http://127.0.0.1:{self.port}"
        return Client(base, token=token_of_all(issuer), patience=PATIENCE)

    def kill(self):
        """Kill the district, if it lives; one that is dead or just starting is left to rise."""
        lives, self.lives = self.lives, False
        if lives:
            self.child.process.kill()
        return lives

    def end(self):
        """Have the district end in order, so that it leaves nothing to be sent again; it rises."""
        deaths = self.deaths
        self.child.process.terminate()
        with eventlet.Timeout(PATIENCE):
            while self.deaths == deaths:
                eventlet.sleep(0.01)

    def __exit__(self, *error):
        self.stopping = True
        self.child.__exit__(*error)
        self.keeper.wait()


def replayed(district, scale, progress=lambda _what, _done: None):
    """Play the month, and give the scores once the district has come to rest."""
    client = district.client()
    Replay(plan(scale), client, progress=progress).run()
    return compare(scale, client.get("/v1/statistics"))


def test_ten_kills_at_random_moments_lose_nothing_and_do_nothing_twice(tmp_path):
    scale, done = 0.02, 0
    total = Replay(plan(scale), None).total()
    moments = sorted(random.Random(SEED).sample(range(5, total - 20), 10))

    with Resurrected(tmp_path) as district:

        def progress(_what, steps):
            nonlocal done
            done += steps
            if moments and done >= moments[0] and district.kill():
                moments.pop(0)

        scores = replayed(district, scale, progress)
        assert district.deaths >= 8, "some kills hit a district that was just starting"
    assert [score for score in scores if not score.equal] == []
    assert_whole(tmp_path)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_each_point_of_the_work_loses_nothing_and_does_nothing_twice(tmp_path, when):
    rng = random.Random(SEED)
    ways = [(f"{when}-{point}", rng.randint(3, 40)) for point in POINTS]
    rng.shuffle(ways)
    with Resurrected(tmp_path, ways) as district:
        scores = replayed(district, 0.01)
        assert district.deaths == len(ways)
    assert [score for score in scores if not score.equal] == []
    assert_whole(tmp_path)


def test_a_message_that_ends_the_process_every_time_is_parked_and_the_others_go_on(tmp_path):
    """The fifth attempt parks it; no innocent is parked with it."""
    with Resurrected(tmp_path) as district:
        client = district.client()
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        rows = [shop.registration() for shop in plan(0.01).enterprises[:20]]
        rows[7]["name"] = DEADLY_NAME
        district.ways = [("deadly", 0)] * 20
        district.child.process.kill()
        ids = [accepted(client, number, row) for number, row in enumerate(rows)]
        states = settled(client, ids, 19)
        assert states[7] == "pending"
        assert district.deaths >= 5
        district.ways = []
    verdict = judge(embedded(tmp_path))
    assert (verdict["parked"], verdict["unsettled"]) == (1, 1)
    assert (verdict["lost"], verdict["ghosts"], verdict["duplicated"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        ("between", 1),
        ("between", 2),
        ("before-publish", 1),
        ("after-publish", 1),
        ("after-publish", 2),
        ("before-mark-sent", 1),
        ("before-ack", 1),
        ("after-ack", 1),
    ],
)
def test_fifty_equal_requests_and_a_kill_have_one_effect_and_one_answer(tmp_path, point, nth):
    """The kill comes when the first are answered, or at a point of the work on the one command."""
    shop = plan(0.01).enterprises[0].registration()
    raw, headers = json.dumps(shop).encode(), {"Content-Type": "application/json"}
    answers, together = [], eventlet.GreenPool(10)
    with Resurrected(tmp_path) as district:
        client = district.client()
        client.post("/v1/clock", {"at": "2020-02-10T08:00:00+08:00"}, "clock")
        if point != "between":
            district.ways = [(point, nth)]
            district.end()

        def ask():
            status, body = client._ask(
                "POST", "/v1/enterprises", raw, headers | {"Idempotency-Key": "one"}
            )
            answers.append((status, body))
            if point == "between" and len(answers) == 12 * nth:
                assert district.kill()

        for _ in range(50):
            together.spawn(ask)
        together.waitall()
        assert district.deaths >= (1 if point == "between" else 2)
        assert len(answers) == 50
        assert all(answer == answers[0] for answer in answers)
        assert answers[0][0] == 201
        assert len(client.get("/v1/enterprises")["items"]) == 1
    assert_whole(tmp_path)


def accepted(client, number, row):
    """Hand a command in without waiting for its outcome; gives its id.

    Or None, where the answer was lost in a kill and the command is done by the time it comes again.
    """
    headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
    headers["Idempotency-Key"] = f"row-{number}"
    status, answer = client._ask("POST", "/v1/enterprises", json.dumps(row).encode(), headers)
    assert status in {201, 202}
    return answer.get("command_id")


def settled(client, ids, count):
    """Wait until so many commands are done, and give the state of each."""
    with eventlet.Timeout(PATIENCE):
        while True:
            states = [
                client.get(f"/v1/commands/{identity}")["state"] if identity else "done"
                for identity in ids
            ]
            if states.count("done") >= count:
                return states
            eventlet.sleep(0.1)
