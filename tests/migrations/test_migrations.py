"""A database becomes what this version needs, from wherever it stands, as a whole or not at all."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Integer, MetaData, text

from chassis import logs
from chassis.runtime import green
from chassis.settings import Misconfigured
from chassis.storage import migrations
from chassis.storage.migrations import concerns
from console.runtime.district import SERVICES
from services.filing.service import Filings
from tests.migrations.conftest import HEAD, NEXT, picture, tables

NAMES = [kind.name for kind in SERVICES]
REPOSITORY = Path(__file__).parents[2]

CREATE = """
import sys
import chassis.runtime.green
from chassis.storage import migrations
from chassis.storage.store import Store
from services.filing.model import Base
store = Store("filing", sys.argv[1], Base.metadata)
"""
KILLED_IN_THE_MIDDLE = (
    CREATE
    + """
import os, signal
from sqlalchemy import Table, event
def kill(table, *args, **kwargs):
    if table.name == "filings":
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Table, "after_create", kill)
migrations.apply(store)
"""
)
AT_ONCE = (
    CREATE
    + """
from pathlib import Path
from sqlalchemy.exc import OperationalError
if sys.argv[2:]:
    store.migrations = Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
while True:
    try:
        print(*migrations.apply(store))
        break
    except OperationalError:  # SQLite does not wait where two turn to its write-ahead log at once
        pass
"""
)


def python(script, *words):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def differences(store):
    """Return what alembic would have to change to make the database what the code says."""
    with store.engine.connect() as connection:
        dialect = connection.dialect.name
        options = {
            "compare_server_default": True,
            "include_object": lambda item, *_: concerns(item, dialect),
        }
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, list(store.metadata))


def mark(store, revision):
    with store.dialect.exclusive() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))


# what the revisions make is what the code says


@pytest.mark.parametrize("service", NAMES)
def test_the_revisions_make_what_the_code_says(empty, open_store, service):
    applied, migrated, said = (open_store(empty(), service) for _ in range(3))
    migrations.apply(applied)
    with migrated.dialect.exclusive() as connection:
        migrations._upgrade(migrated, connection)
    with said.dialect.exclusive() as connection:
        for metadata in (*said.metadata, migrations._marks):
            metadata.create_all(connection)
    assert picture(applied) == picture(said)
    assert picture(migrated) == picture(said)
    head = migrations.revisions(migrations.folder_of(service))[-1]
    assert [migrations.revision(store) for store in (migrated, applied)] == [head, head]
    assert differences(migrated) == []
    assert differences(applied) == []


@pytest.mark.parametrize("service", NAMES)
def test_the_revisions_stand_in_one_row_and_their_files_tell_their_names(service):
    folder = migrations.folder_of(service)
    script = ScriptDirectory(str(folder))
    row = [revision.revision for revision in script.walk_revisions()]
    assert row[::-1] == migrations.revisions(folder)
    assert script.get_heads() == row[:1]


def test_alembic_itself_finds_nothing_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(REPOSITORY)
    for service in NAMES:
        config = Config("alembic.ini", ini_section=service, stdout=(tmp_path / "said").open("w"))
        command.upgrade(config, "head")
        command.check(config)


def test_alembic_writes_the_next_revision(tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(migrations.folder_of("filing"), folder)
    config = Config("alembic.ini", ini_section="filing", stdout=(tmp_path / "said").open("w"))
    config.set_main_option("script_location", str(folder))
    monkeypatch.setenv("DATA", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(REPOSITORY)
    command.upgrade(config, "head")
    changed = MetaData()
    for table in Filings.metadata.sorted_tables:
        table.to_metadata(changed)
    changed.tables["filings"].append_column(Column("later", Integer))
    monkeypatch.setattr(Filings, "metadata", changed)
    command.revision(config, "a later column", autogenerate=True)
    command.upgrade(config, "head")
    written = (folder / "versions" / f"{NEXT}_a_later_column.py").read_text()
    assert f'down_revision = "{HEAD}"' in written
    assert 'op.add_column("filings", sa.Column("later", sa.Integer(), nullable=True))' in written


# from wherever it stands


def test_a_database_at_head_stays_as_it_is(empty, open_store):
    store = open_store(empty())
    assert migrations.apply(store) == (None, HEAD)
    before = picture(store)
    assert migrations.apply(store) == (HEAD, HEAD)
    migrations.check(store)
    assert picture(store) == before


def test_nothing_is_imported_for_a_database_that_is_new_or_at_head(tmp_path):
    script = (
        CREATE + "migrations.apply(store); migrations.apply(store); print('alembic' in sys.modules)"
    )
    assert python(script, f"sqlite:///{tmp_path}/new.db").communicate()[0] == "False\n"


def test_an_older_database_is_refused_until_it_is_migrated(empty, open_store, later):
    url = empty()
    migrations.apply(open_store(url))
    newer = open_store(url, later=later())
    with pytest.raises(Misconfigured) as refused:
        migrations.check(newer)
    assert str(refused.value) == (
        "The database of filing is behind this version; run `bihuan migrate filing` first."
    )
    assert migrations.apply(newer) == (HEAD, NEXT)
    migrations.check(newer)
    assert "later" in tables(newer)


def test_an_empty_database_is_refused_until_it_is_set_up(empty, open_store):
    store = open_store(empty())
    with pytest.raises(Misconfigured) as refused:
        migrations.check(store)
    assert str(refused.value) == (
        "The database of filing has not been set up; run `bihuan migrate filing` first."
    )
    migrations.apply(store)
    migrations.check(store)


def test_a_database_that_a_newer_version_made_is_good_enough(empty, open_store, later):
    url = empty()
    newer = open_store(url, later=later())
    migrations.apply(newer)
    mark(newer, NEXT)
    older, said = open_store(url), io.StringIO()
    logs.configure("warning", said)
    try:
        migrations.check(older)
        assert migrations.apply(older) == (NEXT, NEXT)
        migrations.check(newer)
    finally:
        logs.configure("critical")
    assert migrations.revision(older) == NEXT
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    told = [(line["event"], line["service"], line["revision"], line["known"]) for line in lines]
    assert told == [("newer database", "filing", NEXT, HEAD)] * 2, "as it starts and migrates"


@pytest.mark.parametrize("revision", ["0001", "0009"])
def test_a_database_of_an_unreleased_version_is_refused(empty, open_store, revision):
    store = open_store(empty())
    migrations.apply(store)
    mark(store, revision)
    before = picture(store)
    for act in (migrations.check, migrations.apply):
        with pytest.raises(Misconfigured) as refused:
            act(store)
        assert str(refused.value) == (
            f"The database of filing was made by an unreleased version, at revision {revision}; "
            "move it away and start with an empty one."
        )
    assert (picture(store), migrations.revision(store)) == (before, revision)


def test_an_empty_database_runs_the_later_revisions_too(empty, open_store, later):
    store, migrated = open_store(empty(), later=later()), open_store(empty())
    assert migrations.apply(store) == (None, NEXT)
    migrations.apply(migrated)
    migrated.migrations = store.migrations
    assert migrations.apply(migrated) == (HEAD, NEXT)
    assert picture(store) == picture(migrated)


def test_tables_without_a_revision_are_not_touched(empty, open_store):
    store = open_store(empty())
    with store.dialect.exclusive() as connection:
        store.metadata[0].create_all(connection)
    before = picture(store)
    with pytest.raises(Misconfigured, match=r"^The database of filing was made before there were"):
        migrations.apply(store)
    assert picture(store) == before


def test_tables_of_others_are_no_hindrance(empty, open_store):
    store = open_store(empty())
    with store.dialect.exclusive() as connection:
        connection.execute(text("CREATE TABLE somebody_elses (id integer)"))
    migrations.apply(store)
    assert migrations.revision(store) == HEAD


# as a whole or not at all


def test_a_kill_in_the_middle_of_the_creation_leaves_nothing(empty, open_store):
    url = empty()
    process = python(KILLED_IN_THE_MIDDLE, url)
    process.communicate()
    assert process.returncode == -9
    store = open_store(url)
    assert tables(store) == set()
    assert migrations.apply(store) == (None, HEAD)


def test_an_error_in_the_middle_of_a_migration_leaves_it_as_it_was(empty, open_store, later):
    url = empty()
    migrations.apply(open_store(url))
    broken = open_store(url, later=later("op.execute('SELECT nonsense')"))
    before = picture(broken)
    with pytest.raises(Exception, match="nonsense"):
        migrations.apply(broken)
    assert picture(broken) == before
    assert migrations.apply(open_store(url, later=later())) == (HEAD, NEXT)


@pytest.mark.parametrize("is_new", [True, False], ids=["creating", "upgrading"])
def test_of_several_migrations_at_once_one_does_it(empty, open_store, later, is_new):
    url, words, done = empty(), (), [f"None {HEAD}", f"{HEAD} {HEAD}", f"{HEAD} {HEAD}"]
    if not is_new:
        migrations.apply(open_store(url))
        words, done = (later(),), [f"{HEAD} {NEXT}", f"{NEXT} {NEXT}", f"{NEXT} {NEXT}"]
    together = [python(AT_ONCE, url, *words) for _ in range(3)]
    for process in together:
        assert process.stdout.readline() == "ready\n"
    for process in together:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in together]
    assert sorted(said, reverse=is_new) == done


def test_several_services_may_be_migrated_by_one_process(empty, open_store, later):
    folder, stores = later(), [open_store(empty()) for _ in range(3)]
    for store in stores:
        migrations.apply(store)
        store.migrations = folder
    threads = [green.spawn(migrations.apply, store) for store in stores]
    assert [thread.wait() for thread in threads] == [(HEAD, NEXT)] * 3
