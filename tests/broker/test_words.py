"""What is looked for by words is what holds them: by pairs, by threes, among the next few, in both
kinds of database."""

import random

import pytest
from sqlalchemy import insert, select

from chassis.storage import migrations
from chassis.storage.store import Store
from services.gateway.resources import VIEWS
from services.gateway.resources.search import plain
from services.gateway.tables import metadata
from tests.broker.conftest import start_anew

WORDS = VIEWS["enterprises"].words
ALPHABET = "閉環小館店12a"
SEED = 20200210
MANY = 400


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        made = Store("gateway", f"sqlite:///{tmp_path}/words.db", metadata)
        migrations.apply(made)
    else:
        postgres = request.getfixturevalue("postgres")
        start_anew(postgres, request.getfixturevalue("rabbitmq"))
        made = Store("gateway", postgres.format(service="gateway"), metadata)
    yield made
    made.close()


def some(rng, least, most):
    return "".join(rng.choices(ALPHABET, k=rng.randint(least, most)))


def kept(store, rng):
    """Keep texts of one field or two; give them by their positions."""
    texts = {at: [some(rng, 0, 9) for _ in range(rng.randint(1, 2))] for at in range(1, MANY)}
    rows = [
        {"position": at, "words": WORDS.of(dict(zip(WORDS.fields, fields, strict=False)))}
        for at, fields in texts.items()
    ]
    with store.write() as uow:
        uow.execute(insert(WORDS.table), rows)
    return texts


def found(store, how):
    rows, place, condition = how
    query = select(place).select_from(rows).where(condition).order_by(place)
    with store.read() as session:
        return list(session.scalars(query))


def test_words_are_found_in_what_holds_all_of_them(store):
    rng = random.Random(SEED)
    texts = kept(store, rng)
    there = 0
    for _ in range(300):
        wanted = [some(rng, 2, 5) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        holding = [
            at
            for at, fields in texts.items()
            if all(any(plain(word) in plain(field) for field in fields) for word in wanted)
        ]
        there += len(holding)
        assert found(store, WORDS.found(wanted, store.dialect.name)) == holding, wanted
        if store.dialect.name != "sqlite":
            assert found(store, WORDS.near(wanted, 0, store.dialect.name)) == holding, wanted
            later = [at for at in holding if at > MANY // 2]
            assert found(store, WORDS.near(wanted, MANY // 2, store.dialect.name)) == later, wanted
    assert there > MANY, "hardly anything was there to be found"
