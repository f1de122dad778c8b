"""The points at which a process is struck: there it does what it was told, once, and no more."""

import os
import signal

import psycopg
import pytest
from amqp.abstract_channel import AbstractChannel
from sqlalchemy import Column, MetaData, Table, Text, insert, select, text
from sqlalchemy.exc import IntegrityError

from chassis.rabbitmq.inbox import RabbitPartitionConsumer
from chassis.rabbitmq.publisher import Publisher, _Cork
from chassis.storage.engine import STORAGE_ERRORS
from chassis.storage.postgres_engine import Bounded
from chassis.storage.store import Store
from tests.faults.points import (
    FAIL,
    FREEZE,
    KILL,
    LOSE,
    NOTHING,
    HandlerFailed,
    Obedient,
    give,
    put_points,
    told,
)

struck = Table("struck", MetaData(), Column("name", Text, primary_key=True))
ABOUT = r"INTO struck.*?(one|two)"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The orders' file of this very process; the points are taken away again."""
    for owner in (
        psycopg.Cursor,
        Bounded,
        _Cork,
        Publisher,
        RabbitPartitionConsumer,
        AbstractChannel,
    ):
        for name, value in [*vars(owner).items()]:
            if callable(value) and not name.startswith("__init"):
                monkeypatch.setattr(owner, name, value)
    for name in ("commit", "rollback"):
        monkeypatch.setattr(Bounded, name, getattr(Bounded, name))
    for name in ("spoken", "fate", "is_committing"):
        monkeypatch.setattr(Bounded, name, None, raising=False)
    put_points(Obedient(tmp_path / "orders"))
    return tmp_path / "orders"


@pytest.fixture
def store(postgres, file):
    store = Store("filing", postgres.format(service="filing"))
    with store.write() as uow:
        uow.execute(text("CREATE TABLE IF NOT EXISTS struck (name text PRIMARY KEY)"))
        uow.execute(text("TRUNCATE struck"))
    yield store
    store.close()


def write(store, name, way="by itself"):
    """Write a row, in a pipeline that commits or by a statement before the commit."""
    with store.write() as uow:
        if way == "in a pipeline":
            uow.at_end(insert(struck), [{"name": name}])
        else:
            uow.execute(insert(struck), {"name": name})


def names_in(store):
    with store.read() as session:
        return sorted(session.scalars(select(struck.c.name)))


@pytest.mark.parametrize("way", ["in a pipeline", "by itself"])
def test_commits_about_one_thing_are_undone_and_then_unanswered(store, file, way):
    give(file, do=LOSE, of=ABOUT, undone=2, unanswered=1)
    for other in ("four", "two"):
        with pytest.raises(STORAGE_ERRORS):
            write(store, "one", way)
        write(store, other, way)
        assert not told(file).exists()
    assert names_in(store) == ["four", "two"]
    with pytest.raises(STORAGE_ERRORS):
        write(store, "one", way)
    assert names_in(store) == ["four", "one", "two"]
    assert told(file).exists()
    write(store, "three", way)
    assert names_in(store) == ["four", "one", "three", "two"]


def test_a_statement_fails_until_told_otherwise_and_the_transaction_is_undone(store, file):
    give(file, do=FAIL, at="before-statement", of="struck.*one")
    for other in ("two", "three"):
        with pytest.raises(HandlerFailed):
            write(store, "one")
        write(store, other)
    assert names_in(store) == ["three", "two"]
    give(file, do=NOTHING)
    write(store, "one")
    assert names_in(store) == ["one", "three", "two"]


@pytest.mark.parametrize(
    ("do", "at", "there"),
    [
        (FREEZE, "before-commit", []),
        (KILL, "after-commit", ["one"]),
        (KILL, "after-statement", []),
        (FREEZE, "before-statement", []),
    ],
)
@pytest.mark.parametrize("way", ["in a pipeline", "by itself"])
def test_a_process_is_struck_once_and_at_the_point(store, file, monkeypatch, do, at, there, way):
    """What others see of the database at that moment tells where it is."""
    signals, seen = [], []

    def strike(process, number):
        signals.append((process, number))
        with psycopg.connect(store.url.replace("+psycopg", "")) as other:
            seen.extend(name for (name,) in other.execute("SELECT name FROM struck"))

    monkeypatch.setattr(os, "kill", strike)
    give(file, do=do, at=at, of=ABOUT)
    write(store, "one", way)
    write(store, "two", way)
    assert signals == [(os.getpid(), signal.SIGSTOP if do == FREEZE else signal.SIGKILL)]
    assert seen == there
    assert names_in(store) == ["one", "two"]


def test_a_process_is_struck_between_the_undoing_and_what_follows(store, file, monkeypatch):
    signals = []
    monkeypatch.setattr(os, "kill", lambda *given: signals.append(given))
    give(file, do=FREEZE, at="after-rollback", of=ABOUT)
    write(store, "two")
    assert signals == []
    write(store, "one")
    with pytest.raises(IntegrityError):
        write(store, "one")
    assert signals == [(os.getpid(), signal.SIGSTOP)]
    assert names_in(store) == ["one", "two"]


def test_the_nth_point_is_meant(file, monkeypatch):
    signals = []
    monkeypatch.setattr(os, "kill", lambda *given: signals.append(given))
    obedient = Obedient(file)
    give(file, do=KILL, at="before-(ack|wave)", nth=3)
    for point in ("before-ack", "after-ack", "before-wave", "after-wave"):
        obedient.reached(point)
    assert signals == []
    obedient.reached("before-ack")
    obedient.reached("before-ack")
    assert len(signals) == 1
