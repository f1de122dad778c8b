"""`bihuan migrate`: what it says, and how it ends."""

import fcntl
import sqlite3

import pytest

from chassis.storage import migrations
from tests.console.test_command_line import bihuan
from tests.migrations.conftest import HEAD, NEXT, picture

SERVICES = ["filing", "inspection", "complaints", "insurance", "gateway"]


def lines(*said):
    return "".join(f"{name}: {word}\n" for name, word in zip(SERVICES, said, strict=True))


def test_all_five_are_set_up_and_looked_at(tmp_path):
    data = {"DATA": str(tmp_path / "data")}
    assert bihuan("migrate", "--check", **data) == (1, lines(*["not set up"] * 5), [])
    assert not (tmp_path / "data").exists()
    heads = [migrations.revisions(migrations.folder_of(name))[-1] for name in SERVICES]
    assert bihuan("migrate", "gateway", **data) == (0, f"gateway: set up at {heads[-1]}\n", [])
    said = lines(*[f"set up at {head}" for head in heads[:-1]], f"at {heads[-1]} already")
    assert bihuan("migrate", **data) == (0, said, [])
    said = lines(*[f"at {head}" for head in heads])
    assert bihuan("migrate", "--check", **data) == (0, said, [])


def test_tables_of_unknown_making_are_told_and_not_touched(databases, open_store):
    url = databases()
    store = open_store(url)
    migrations.apply(store)
    with store.dialect.exclusive() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    before = picture(store)
    word = "The database of filing has not been set up; run `bihuan migrate filing` first."
    environ = {"DATABASE_URL": url + "?application_name={service}"}
    assert bihuan("migrate", "filing", "--check", **environ) == (1, f"filing: {word}\n", [])
    code, said, errors = bihuan("migrate", "filing", **environ)
    assert (code, said, len(errors)) == (2, "", 1)
    assert errors[0].startswith("bihuan: The database of filing was made before")
    assert picture(store) == before


@pytest.mark.parametrize("command", [("migrate",), ("up", "--port", "0")])
def test_data_of_an_unreleased_version_are_refused_by_every_start(tmp_path, command):
    data = {"DATA": str(tmp_path / "data")}
    assert bihuan("migrate", **data)[0] == 0
    with sqlite3.connect(tmp_path / "data" / "filing.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0003'")
    word = (
        "The database of filing was made by an unreleased version, at revision 0003; "
        "move it away and start with an empty one."
    )
    assert bihuan(*command, **data) == (2, "", [f"bihuan: {word}"])
    assert bihuan("migrate", "filing", "--check", **data) == (1, f"filing: {word}\n", [])


def test_an_older_one_is_taken_on(databases, open_store, later, monkeypatch, capsys):
    from console.cli import migrate

    url, folder = databases(), later()
    migrations.apply(open_store(url))
    monkeypatch.setattr(migrations, "folder_of", lambda _service: folder)
    monkeypatch.setenv("DATABASE_URL", url + "?application_name={service}")
    with pytest.raises(migrate.typer.Exit) as ended:
        migrate.migrate("filing", check=True, wait=0)
    assert ended.value.exit_code == 1
    migrate.migrate("filing", check=False, wait=0)
    behind = "The database of filing is behind this version; run `bihuan migrate filing` first."
    assert capsys.readouterr().out == f"filing: {behind}\nfiling: from {HEAD} to {NEXT}\n"


def test_a_database_that_does_not_answer_is_one_sentence():
    environ = {"DATABASE_URL": "postgresql://bihuan@127.0.0.1:1/{service}"}
    code, said, errors = bihuan("migrate", "--wait", "0.5", **environ)
    assert (code, said, len(errors)) == (1, "", 1)
    assert errors[0].startswith("bihuan: The database of filing cannot be used: connection failed")


def test_a_service_that_there_is_not_is_a_mistake_of_usage():
    code, said, errors = bihuan("migrate", "fishing", COLUMNS="200")
    assert (code, said) == (2, "")
    assert any("unknown service 'fishing'; services: filing" in line for line in errors)


def test_the_data_of_a_running_district_are_left_alone(tmp_path):
    with (tmp_path / "district.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said, errors = bihuan("migrate", DATA=str(tmp_path))
    assert (code, said, len(errors)) == (2, "", 1)
    assert errors[0].startswith(f"bihuan: A district is running on {tmp_path}")
