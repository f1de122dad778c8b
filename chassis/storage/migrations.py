"""Migrations: the revisions of the tables of a service's database.

An empty database runs the first revision, the baseline, and then the later ones; a database of an
older version runs those that it lacks. Either happens in one transaction or not at all. Alembic is
imported only for later revisions (see `chassis.storage.baseline`).
"""

from __future__ import annotations

from importlib.resources import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from eventlet.semaphore import Semaphore
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    inspect,
    select,
)
from sqlalchemy.exc import ProgrammingError

from chassis.logs import log
from chassis.settings import Misconfigured, Settings
from chassis.storage.baseline import Operations
from chassis.storage.store import Store
from chassis.storage.tables import chassis_metadata

PACKAGE = "services.{service}.migrations"
_marks = MetaData()
_mark = Table(  # as alembic creates it
    "alembic_version",
    _marks,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
_alembic = Semaphore(1)
"""Alembic keeps its state in the module, so only one green thread may use it."""


def folder_of(service: str) -> Path:
    """Return the folder with the migrations of a service."""
    return Path(str(files(PACKAGE.format(service=service))))


def revisions(folder: Path) -> list[str]:
    """Return the revisions of this version, oldest first, by the names of their files."""
    return [file.name.partition("_")[0] for file in _files(folder)]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("versions/[0-9]*_*.py"))


def known_to(store: Store) -> list[str]:
    """Return the revisions of a service in this version, oldest first."""
    return revisions(_folder(store))


def _folder(store: Store) -> Path:
    return store.migrations or folder_of(store.service)


def revision(store: Store) -> str | None:
    """Return the revision of a database; None if it is not marked with any."""
    with store.engine.connect() as connection:
        try:
            return connection.scalar(select(_mark.c.version_num))
        except ProgrammingError:
            if inspect(store.engine).has_table(_mark.name):
                raise
            return None


def check(store: Store) -> None:
    """Refuse a database that lacks revisions of this version; raises `Misconfigured`."""
    current, revisions, name = revision(store), known_to(store), store.service
    _refuse_unreleased(store, current, revisions)
    if current is None or current in revisions[:-1]:
        lacks = "has not been set up" if current is None else "is behind this version"
        raise Misconfigured(f"The database of {name} {lacks}; run `bihuan migrate {name}` first.")
    _warn_if_newer(store, current, revisions)
    store.note_last_seq()


def apply(store: Store) -> tuple[str | None, str]:
    """Bring a database up to this version; return the revisions before and after.

    A database of a newer version stays as it is: versions run side by side during an update. Raises
    `Misconfigured` for a database that an unreleased version made.
    """
    before, revisions = revision(store), known_to(store)
    _refuse_unreleased(store, before, revisions)
    if before is None or before in revisions[:-1]:
        with store.dialect.exclusive() as connection:
            there = inspect(connection).get_table_names()  # another process may have upgraded it
            before = connection.scalar(select(_mark.c.version_num)) if _mark.name in there else None
            if before is None:
                _create(store, connection, {*there})
            if (before or revisions[0]) in revisions[:-1]:
                _upgrade(store, connection)
    after = revisions[-1] if before is None or before in revisions else before
    _warn_if_newer(store, after, revisions)
    store.note_last_seq()
    return before, after


def _warn_if_newer(store: Store, current: str, known: list[str]) -> None:
    if current not in known:
        log(store.service).warning("newer database", revision=current, known=known[-1])


def is_unreleased(current: str | None, known: list[str]) -> bool:
    """Return whether a revision is older than the baseline, which replaced it."""
    return current is not None and current < known[0]


def _refuse_unreleased(store: Store, current: str | None, known: list[str]) -> None:
    if is_unreleased(current, known):
        raise Misconfigured(
            f"The database of {store.service} was made by an unreleased version, at revision "
            f"{current}; move it away and start with an empty one."
        )


def _create(store: Store, connection: Connection, there: set[str]) -> None:
    """Run the baseline, and mark the database with it."""
    if there & {name for metadata in store.metadata for name in metadata.tables}:
        raise Misconfigured(
            f"The database of {store.service} was made before there were migrations; "
            "move it away and start with an empty one."
        )
    baseline = _load(_files(_folder(store))[0])
    baseline.upgrade(Operations(connection))
    _mark.create(connection, checkfirst=False)
    connection.execute(_mark.insert(), {"version_num": baseline.revision})


def _load(file: Path) -> Any:
    """Execute the module of a revision, whose name is no identifier, and forget it afterwards."""
    spec = spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _upgrade(store: Store, connection: Connection) -> None:
    from alembic.command import upgrade
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_folder(store)).replace("%", "%%"))
    with _alembic:
        upgrade(config, "head")


def run(service: Any) -> None:
    """Run the revisions for alembic, as the env.py of a service: on the connection of `apply`, or
    for a developer on the database that the settings name."""
    from alembic import context, op

    def configure(connection: Connection) -> None:
        context.configure(
            connection=connection,
            target_metadata=[chassis_metadata, service.metadata],
            compare_server_default=True,
            include_object=lambda item, *_: concerns(item, connection.dialect.name),
            process_revision_directives=number,
        )
        context.run_migrations(op=op)

    def number(_context: Any, _revision: Any, directives: Any) -> None:
        directives[0].rev_id = f"{int(revisions(folder_of(service.name))[-1]) + 1:04}"

    if given_connection := context.config.attributes.get("connection"):
        configure(given_connection)
    else:
        url = Settings.read().database_of(service.name)
        with Store(service.name, url, service.metadata).dialect.exclusive() as connection:
            configure(connection)


def concerns(item: Any, dialect: str) -> bool:
    """Return whether alembic is to compare a table, column or index on this kind of database: not
    those of the full-text search, which each kind creates by SQL of its own."""
    name = str(item.name)
    return bool(item.info.get("dialect", dialect) == dialect) and not (
        name.endswith(("_grams", "_threes")) or "_words_fts" in name
    )
