"""Databases without anything in them, of either kind, and what a database has been made into."""

import itertools
import shutil

import psycopg
import pytest
from sqlalchemy import text

from chassis.storage import migrations
from chassis.storage.store import Store
from console.runtime.district import SERVICES
from tests import servers

LATER = '''"""A revision of a later version."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "{next}"
down_revision = "{head}"


def upgrade(op: Operations) -> None:
    op.create_table("later", sa.Column("id", sa.Integer, primary_key=True))
    {then}
'''

HEAD = migrations.revisions(migrations.folder_of("filing"))[-1]
NEXT = f"{int(HEAD) + 1:04}"
"""The last revision of filing, and the one that a later version would add."""

SQLITE = {"tables and indexes": "SELECT type, name, tbl_name, sql FROM sqlite_master"}
POSTGRES = {
    "columns": "SELECT table_name, ordinal_position, column_name, data_type, udt_name, is_nullable,"
    " character_maximum_length, column_default, is_identity FROM information_schema.columns"
    " WHERE table_schema = 'public'",
    "constraints": "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid)"
    " FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "sequences": "SELECT sequencename, data_type, increment_by FROM pg_sequences",
}


@pytest.fixture(scope="session")
def databases(tmp_path_factory):
    """Makes a PostgreSQL database without anything in it, and gives its URL."""
    folder, numbers = tmp_path_factory.mktemp("databases"), itertools.count(1)
    with servers.postgres(folder, databases=["first"]) as server:
        base = getattr(server, "base", server)

        def make():
            name = f"empty_{next(numbers)}"
            url = base.replace("+psycopg", "") + "first"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            return base + name

        yield make


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path):
    """Makes a database without anything in it, and gives its URL."""
    if request.param == "postgresql":
        return request.getfixturevalue("databases")
    numbers = itertools.count(1)
    return lambda: f"sqlite:///{tmp_path}/empty-{next(numbers)}.db"


@pytest.fixture
def open_store():
    """Opens stores, and closes each at the end."""
    opened = []

    def open_one(url, service="filing", later=None):
        kind = next(kind for kind in SERVICES if kind.name == service)
        store = Store(service, url, kind.metadata)
        if later:
            store.migrations = later
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def later(tmp_path):
    """Makes the migrations of a later version of filing, which does `then` in the middle."""

    def make(then="pass"):
        folder = tmp_path / "later"
        shutil.copytree(migrations.folder_of("filing"), folder, dirs_exist_ok=True)
        text = LATER.format(then=then, head=HEAD, next=NEXT)
        (folder / "versions" / f"{NEXT}_later.py").write_text(text)
        return folder

    return make


def picture(store):
    """Return all that the database itself says of its tables."""
    with store.engine.connect() as connection:
        asked = SQLITE if store.dialect.name == "sqlite" else POSTGRES
        found = {name: connection.execute(text(query)).all() for name, query in asked.items()}
    return {name: sorted(map(_in_one_line, rows)) for name, rows in found.items()}


def _in_one_line(row):
    """Write a row without the white space in which SQLite keeps how a table was made."""
    return str(tuple(" ".join(cell.split()) if isinstance(cell, str) else cell for cell in row))


def tables(store):
    """Name the tables of a database."""
    rows = picture(store)["tables and indexes" if store.dialect.name == "sqlite" else "columns"]
    kind = "('table', '" if store.dialect.name == "sqlite" else "('"
    return {row.removeprefix(kind).partition("'")[0] for row in rows if row.startswith(kind)}
