"""Statements and answers of many megabytes: neither side waits for the other for ever."""

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, text
from sqlalchemy.exc import IntegrityError

from chassis.runtime.green import Pool
from chassis.storage import postgres
from chassis.storage import postgres_engine as manners
from chassis.storage.statements import Statement
from chassis.storage.store import Store

MEGABYTE = 1 << 20
metadata = MetaData()
papers = Table("papers", metadata, Column("id", Integer, primary_key=True), Column("words", Text))


@pytest.fixture
def store(postgres, monkeypatch):
    """A store with an empty table, less patient than usual."""
    monkeypatch.setattr(manners.Bounded, "answer_within", 10.0)
    made = Store("filing", postgres.format(service="filing"))
    with made.write() as uow:
        metadata.drop_all(uow.connection())
        metadata.create_all(uow.connection())
    yield made
    with made.write() as uow:
        metadata.drop_all(uow.connection())
    made.close()


def lengths(store):
    with store.read() as session:
        return session.execute(text("SELECT count(*), sum(length(words)) FROM papers")).one()


@pytest.mark.parametrize("megabytes", [1, 6, 32])
def test_a_large_statement_that_the_server_has_to_be_written_to(store, megabytes):
    rows = [{"id": n, "words": "閉環" * (MEGABYTE // 20)} for n in range(10 * megabytes)]
    with store.write() as uow:
        store.write_rows(uow, insert(papers), rows)
    assert lengths(store) == (len(rows), len(rows) * 2 * (MEGABYTE // 20))


@pytest.mark.parametrize("megabytes", [6, 32])
def test_one_text_that_is_larger_than_what_a_socket_holds(store, megabytes):
    with store.write() as uow:
        store.execute_many(
            uow, Statement(insert(papers), {"id": 1, "words": "x" * megabytes * MEGABYTE})
        )
    with store.write() as uow:
        uow.execute(insert(papers), {"id": 2, "words": "y" * megabytes * MEGABYTE})
    assert lengths(store) == (2, 2 * megabytes * MEGABYTE)


def test_a_large_statement_behind_a_large_answer(store):
    """The server writes, and reads no more until it is listened to; the client likewise."""
    large = "x" * 8 * MEGABYTE
    with store.write() as uow:
        uow.execute(insert(papers), {"id": 1, "words": large})
        asked = [
            Statement(select(papers.c.words)),
            Statement(insert(papers), {"id": 2, "words": large}),
        ]
        (((words,),), _, (found,)) = store.execute_many(uow, *asked, Statement(text("SELECT 1")))
    assert words == large
    assert tuple(found) == (1,)


def test_others_write_while_large_statements_are_under_way(store):
    large = "x" * 8 * MEGABYTE

    def write(number):
        with store.write() as uow:
            words = large if number % 4 == 0 else "small"
            store.write_rows(uow, insert(papers), [{"id": number, "words": words}])

    list(Pool().imap(write, range(24)))
    assert lengths(store)[0] == 24


def test_many_rows_go_in_pieces_and_their_answers_come_together(store, monkeypatch):
    sent = []
    monkeypatch.setattr(postgres, "PIECE", 1000)
    monkeypatch.setattr(postgres, "pipeline", noting(sent, postgres.pipeline))
    rows = [{"id": number, "words": "閉環" * 50} for number in range(100)]
    new = store.statements.insert_new(papers).returning(papers.c.id)
    with store.write() as uow:
        store.write_rows(uow, insert(papers), rows[:30])
        (written, (one,)) = store.execute_many(
            uow, Statement(new, rows=rows), Statement(text("SELECT 1"))
        )
    assert [identity for (identity,) in written] == list(range(30, 100))
    assert tuple(one) == (1,)
    assert len(sent) > 10
    assert max(len(given["rows"]) for given in sent if given) <= 1000


def test_where_one_piece_fails_nothing_is_written(store, monkeypatch):
    monkeypatch.setattr(postgres, "PIECE", 1000)
    rows = [{"id": number % 99, "words": "閉環" * 50} for number in range(100)]
    with pytest.raises(IntegrityError), store.write() as uow:
        store.write_rows(uow, insert(papers), rows)
    assert lengths(store)[0] == 0


def noting(sent, pipeline):
    """Note what each statement of a pipeline is given."""

    def noted(connection, asked, **more):
        sent.extend(given for _, given in asked)
        return pipeline(connection, asked, **more)

    return noted
