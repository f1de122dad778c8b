"""Databases as they are when their tables have just been made, which is what takes longest: it is
done once, and then PostgreSQL's are emptied, as long as no test has changed them, and SQLite's
files are copied."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

import psycopg

from chassis.storage import migrations
from chassis.storage.store import Store
from console.runtime.district import SERVICES

EMPTY = """
DO $$
DECLARE
    name text;
    rows integer;
BEGIN
    SET LOCAL session_replication_role = replica;  -- foreign keys: all of it goes
    FOR name IN SELECT quote_ident(tablename) FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE 'SELECT count(*) FROM (SELECT FROM ' || name || ' LIMIT 1000) found' INTO rows;
        IF rows = 1000 THEN
            EXECUTE 'TRUNCATE ' || name || ' CASCADE';
        ELSIF rows > 0 THEN
            EXECUTE 'DELETE FROM ' || name;
        END IF;
    END LOOP;
    FOR name IN SELECT quote_ident(sequencename) FROM pg_sequences
        WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
        EXECUTE 'ALTER SEQUENCE ' || name || ' RESTART';
    END LOOP;
END $$
"""
MADE = """
SELECT c.oid, c.relname, c.relkind, c.reloptions,
    (SELECT array_agg((attname, atttypid, atttypmod, attnotnull)::text ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = c.oid),
    (SELECT array_agg(pg_get_constraintdef(oid) ORDER BY oid)
        FROM pg_constraint WHERE conrelid = c.oid),
    (SELECT array_agg(tgname ORDER BY oid) FROM pg_trigger WHERE tgrelid = c.oid)
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.oid
"""
_made = {}


def tables_anew(databases):
    """Have every service's database hold its tables, as they were made, and nothing in them."""
    for kind in SERVICES:
        url = databases.format(service=kind.name)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            if _made.get(url, ()) == _seen(connection):
                connection.execute(EMPTY)
                continue
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            store = Store(kind.name, url, kind.metadata)
            migrations.apply(store)
            store.close()
            _made[url] = _seen(connection)


def files_anew(data, kinds=SERVICES):
    """Have a folder hold the databases of these services; those that it has stay as they are."""
    data.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        if not (data / f"{kind.name}.db").exists():
            shutil.copy2(Path(_folder().name) / f"{kind.name}.db", data)


@cache
def _folder():
    folder = tempfile.TemporaryDirectory(prefix="bihuan-files-")
    for kind in SERVICES:
        store = Store(kind.name, f"sqlite:///{folder.name}/{kind.name}.db", kind.metadata)
        migrations.apply(store)
        store.close()
    return folder


def _seen(connection):
    """Read what the tables are, and up to which version they are."""
    tables = connection.execute(MADE).fetchall()
    if not any(row[1] == "alembic_version" for row in tables):
        return None
    return tables, connection.execute("SELECT version_num FROM alembic_version").fetchall()
