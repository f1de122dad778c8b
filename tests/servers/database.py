"""A private PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql as syntax

from tests.servers.packages import PATH, need
from tests.servers.programs import HOST, Program, Server, Site, free_ports, site

# A Unix socket's path is limited to 107 bytes, and PostgreSQL adds "/.s.PGSQL.12345.lock".
SOCKET_FOLDER_BYTES = 80
PROGRAMS = ("initdb", "postgres")
# "Fast", then "immediate" shutdown: SIGTERM would wait for every client to leave.
SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
# Durable as in production, whatever a later default may be: the tests crash it.
OPTIONS = ("max_connections=300", "fsync=on", "synchronous_commit=on", "full_page_writes=on")
# No signal at first: an initdb that is cut off leaves shared memory behind.
INITDB_SIGNALS = (0, signal.SIGTERM, signal.SIGKILL)


class Postgres(Server):
    """A PostgreSQL server; its superuser is `bihuan`, who needs no password."""

    def __init__(self, program: Program, port: int, data: Path) -> None:
        super().__init__(program, port)
        self._data = data

    @property
    def base(self) -> str:
        """SQLAlchemy's URL of the server, which ends in a slash."""
        return self.url("")

    def url(self, database: str, port: int | None = None) -> str:
        """Return SQLAlchemy's URL of a database, by way of another port (a proxy's) if given."""
        return f"postgresql+psycopg://bihuan@{HOST}:{port or self.port}/{database}"

    def execute(
        self, sql: str | syntax.Composable, database: str = "postgres"
    ) -> list[tuple[object, ...]] | None:
        """Execute a statement outside any transaction; return its rows, or None if it has none."""
        address = self.url(database).replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else None

    def let_write(self, *databases: str, allowed: bool) -> None:
        """Let databases be writable or read-only for every connection from now on, and end those
        that there are, as a failover does."""
        for name in databases:
            told = "RESET default_transaction_read_only"
            self.execute(
                syntax.SQL("ALTER DATABASE {} " + told).format(syntax.Identifier(name))
                if allowed
                else syntax.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(
                    syntax.Identifier(name)
                )
            )
            if not allowed:
                self.execute(
                    syntax.SQL(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}"
                    ).format(syntax.Literal(name))
                )

    def is_ready(self) -> bool:
        """Return whether the postmaster that we started has written that it takes connections."""
        process = self._program.process
        with suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text().split()
            # After a crash the file of the postmaster before is still there.
            return process is not None and lines[:: len(lines) - 1] == [str(process.pid), "ready"]
        return False


@contextmanager
def postgres(folder: Path, *, databases: Iterable[str]) -> Iterator[Postgres]:
    """Run a PostgreSQL with these databases and yield its handle."""
    programs = need(_find, "postgresql")
    with site(folder, "postgres", owner=_unprivileged()) as place, free_ports(1) as (port,):
        data = place.home / "data"
        options = ["-U", "bihuan", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        initdb = [programs / "initdb", "-D", data, *options]
        Program(place, initdb, signals=INITDB_SIGNALS).run()
        with Program(place, _serving(place, data, port), signals=SIGNALS) as program:
            server = Postgres(program, port, data)
            server.start()
            for name in databases:
                create = syntax.SQL("CREATE DATABASE {}").format(syntax.Identifier(name))
                server.execute(create)
            yield server


@contextmanager
def postgres_restored(folder: Path, other: Postgres) -> Iterator[Postgres]:
    """Run what a base backup of another server is restored to, and yield its handle."""
    programs = need(_find, "postgresql")
    with site(folder, "postgres", owner=_unprivileged()) as place, free_ports(1) as (port,):
        data = place.home / "data"
        backup = [programs / "pg_basebackup", "-D", data, "-h", HOST, "-p", other.port]
        Program(place, [*backup, "-U", "bihuan", "--no-sync", "--checkpoint=fast"]).run()
        Program(place, ["touch", data / "recovery.signal"]).run()
        command = [*_serving(place, data, port), "-c", "restore_command=false"]
        with Program(place, command, signals=SIGNALS) as program:
            server = Postgres(program, port, data)
            server.start()
            yield server


def _serving(place: Site, data: Path, port: int) -> list[object]:
    """Return the command that serves a folder of data."""
    folder = _find() or Path()
    command = [folder / "postgres", "-D", data, "-h", HOST, "-p", port, "-k", _sockets(place)]
    return command + [word for option in OPTIONS for word in ("-c", option)]


def _find() -> Path | None:
    """Find the folder of PostgreSQL's programs on the path or where Debian keeps them."""
    initdb = shutil.which("initdb", path=PATH)
    folders = [Path(initdb).resolve().parent] if initdb else []
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    folders += sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)
    for folder in folders:
        if all((folder / program).is_file() for program in PROGRAMS):
            return folder
    return None


def _unprivileged() -> str | None:
    """Name the user that PostgreSQL runs as when we are root, as whom it refuses to run."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(user.pw_name == "postgres" for user in pwd.getpwall()) else "nobody"


def _sockets(place: Site) -> str:
    """Name the folder of PostgreSQL's Unix socket, or none where the path would be too long."""
    return f'"{place.home}"' if len(os.fsencode(place.home)) <= SOCKET_FOLDER_BYTES else ""
