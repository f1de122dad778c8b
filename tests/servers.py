"""Private PostgreSQL and RabbitMQ servers for the tests, on ports of their own.

Each server runs from the installed programs, as our child, in a folder that is removed afterwards;
only its log stays behind. No server that runs already is needed, asked or touched.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
TAIL_LINES = 40
# Below the range from which Linux takes the ports of outgoing connections.
PORTS = range(16_000, 25_000)
# Every process that we start inherits this variable, so that we can tell ours from all others.
MARK = "BIHUAN_TEST_SERVER"
# A Unix socket's path is limited to 107 bytes, and PostgreSQL adds "/.s.PGSQL.12345.lock".
SOCKET_FOLDER_BYTES = 80
POSTGRES_PROGRAMS = ("initdb", "postgres", "psql")
PATH = os.pathsep.join(
    [os.environ.get("PATH") or os.defpath, "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
)
# "Fast", then "immediate" shutdown: SIGTERM would wait for every client to leave.
POSTGRES_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
SIGNALS = (signal.SIGTERM, signal.SIGKILL)
# No signal at first: an initdb that is cut off leaves shared memory behind.
RUN_SIGNALS = (0, signal.SIGTERM, signal.SIGKILL)

ProgramsT = TypeVar("ProgramsT")


class Unavailable(RuntimeError):
    """A server's programs are missing, and the message says what to install."""


@dataclass(frozen=True)
class _Site:
    """Where one server lives, what it runs as, and when it has to be up."""

    home: Path
    log: Path
    owner: str | None
    deadline: float


@contextmanager
def postgres(folder: Path, *, databases: Iterable[str]) -> Iterator[str]:
    """Run a PostgreSQL with these databases and yield its base URL, which ends in a slash."""
    names = list(databases)
    programs = _need(_find_postgres, "postgresql")
    with (
        _site(folder, "postgres", owner=_unprivileged()) as site,
        _free_ports(1) as (port,),
    ):
        data = site.home / "data"
        options = ["-U", "bihuan", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        _run(site, [programs / "initdb", "-D", data, *options])
        command = [programs / "postgres", "-D", data, "-h", HOST, "-p", port, "-k", _sockets(site)]
        with _running(site, command, _environment(site), POSTGRES_SIGNALS) as process:
            _await(site, process, lambda: _postmaster_is_ready(data), "PostgreSQL")
            _create_databases(site, programs / "psql", port, names)
            yield f"postgresql+psycopg://bihuan@{HOST}:{port}/"


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Run a RabbitMQ node with a port mapper (epmd) of its own and yield its AMQP URL."""
    server, epmd = _need(_find_rabbitmq, "rabbitmq-server")
    with _site(folder, "rabbitmq") as site, _free_ports(3) as (port, distribution, mapper):
        node = f"bihuan-{secrets.token_hex(6)}@localhost"
        environment = _broker_environment(site, node, port, distribution, mapper)
        with _running(site, [epmd, "-port", mapper], environment) as daemon:
            _await(site, daemon, lambda: _accepts(mapper), "epmd")
            with _running(site, [server], environment) as process:
                _await(site, process, lambda: _greets(port, node), "RabbitMQ")
                yield f"amqp://guest:guest@{HOST}:{port}//"


def _find_postgres() -> Path | None:
    """Find the folder of PostgreSQL's programs on the path or where Debian keeps them."""
    initdb = shutil.which("initdb", path=PATH)
    folders = [Path(initdb).resolve().parent] if initdb else []
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    folders += sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)
    for folder in folders:
        if all((folder / program).is_file() for program in POSTGRES_PROGRAMS):
            return folder
    return None


def _find_rabbitmq() -> tuple[Path, Path] | None:
    """Find rabbitmq-server, past Debian's wrapper that changes the user, and epmd."""
    plain = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    server = str(plain) if plain.is_file() else shutil.which("rabbitmq-server", path=PATH)
    erlang = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
    epmd = shutil.which("epmd", path=PATH) or next((str(path) for path in erlang), None)
    return (Path(server), Path(epmd)) if server and epmd else None


def _need(find: Callable[[], ProgramsT | None], package: str) -> ProgramsT:
    """Find programs, install their package where that is allowed, or say what to install."""
    found = find()
    apt = shutil.which("apt-get", path=PATH)
    if found is None and apt and os.geteuid() == 0:
        found = _install(find, package, apt)
    if found is None:
        raise Unavailable(f"Please install the package {package} (apt-get install {package}).")
    return found


def _install(find: Callable[[], ProgramsT | None], package: str, apt: str) -> ProgramsT | None:
    """Install a Debian package, one test session at a time, and find its programs."""
    install = ["-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", package]
    environment = {**os.environ, "PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"}
    with Path(apt).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (found := find()) is not None:
            return found
        with _services_kept_down():
            for arguments in (["update"], install):
                subprocess.run(
                    [apt, *arguments],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
    return find()


@contextmanager
def _services_kept_down() -> Iterator[None]:
    """Forbid Debian to start a package's server on its standard port while we install it."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    try:
        policy.write_text("#!/bin/sh\n# Of one installation by bihuan's tests.\nexit 101\n")
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def _unprivileged() -> str | None:
    """Name the user that PostgreSQL runs as when we are root, as whom it refuses to run."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(user.pw_name == "postgres" for user in pwd.getpwall()) else "nobody"


@contextmanager
def _site(folder: Path, name: str, owner: str | None = None) -> Iterator[_Site]:
    """Make a server's folder, in the system's temporary folder if it is another user's."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=None if owner else folder))
    try:
        if owner:
            shutil.chown(home, owner)
        log = folder / f"{home.name}.log"
        yield _Site(home, log, owner, time.monotonic() + START_SECONDS)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _free_ports(count: int) -> Iterator[list[int]]:
    """Choose ports on which nothing listens, and that no other test session chooses meanwhile."""
    with ExitStack() as claims:
        ports: list[int] = []
        while len(ports) < count:
            port = secrets.choice(PORTS)
            # An abstract name lives as long as its socket, in the same network namespace.
            claim = claims.enter_context(socket.socket(socket.AF_UNIX))
            with suppress(OSError), socket.socket() as probe:
                claim.bind(f"\0bihuan-test-port-{port}")
                probe.bind((HOST, port))
                ports.append(port)
        yield ports


def _environment(site: _Site) -> dict[str, str]:
    """Give a server nothing of our environment but the path."""
    return {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": str(site.home)}


def _broker_environment(
    site: _Site, node: str, port: int, distribution: int, mapper: int
) -> dict[str, str]:
    """Keep a node, its cookie, files and ports apart from any other and from /etc/rabbitmq."""
    home = site.home
    (home / "enabled_plugins").write_text("[].\n")
    (home / "advanced.config").write_text("[].\n")
    (home / "rabbitmq.conf").touch()
    (home / "rabbitmq-env.conf").touch()
    return {
        **_environment(site),
        "ERL_CRASH_DUMP_SECONDS": "0",
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(mapper),
        "ERL_FLAGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(home / "conf.d"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_PID_FILE": str(home / "pid"),
    }


@contextmanager
def _running(
    site: _Site,
    command: Sequence[object],
    environment: Mapping[str, str],
    signals: Sequence[int] = SIGNALS,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a session of its own, and end it and all that it started."""
    mark = secrets.token_hex(8)
    with site.log.open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=site.home,
            env={**environment, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=site.owner,
            group=pwd.getpwnam(site.owner).pw_gid if site.owner else None,
            extra_groups=[] if site.owner else None,
        )
    try:
        yield process
    finally:
        _stop(process, mark, signals)


def _run(site: _Site, command: Sequence[object]) -> None:
    """Run a program to its end, which must be a good one and in time."""
    with _running(site, command, _environment(site), RUN_SIGNALS) as process:
        try:
            code = process.wait(timeout=max(0.0, site.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{command[0]} is not done in time:\n{_tail(site)}") from None
    if code:
        raise RuntimeError(f"{command[0]} ended with {code}:\n{_tail(site)}")


def _stop(process: subprocess.Popen[bytes], mark: str, signals: Sequence[int]) -> None:
    """Send each signal, the next one only when there is something left after a while."""
    for number in signals:
        _signal(process, mark, number)
        give_up = time.monotonic() + STOP_SECONDS
        while time.monotonic() < give_up:
            if process.poll() is not None and not _marked(mark):
                return
            time.sleep(POLL_SECONDS)
    raise RuntimeError(f"Process {process.pid} or a child of it survived every signal.")


def _signal(process: subprocess.Popen[bytes], mark: str, number: int) -> None:
    """Signal our process group, and by pid what has left it if it is alone or must be killed."""
    leads = process.poll() is None
    if leads:
        os.killpg(process.pid, number)
        os.killpg(process.pid, signal.SIGCONT)
    if not leads or number == signal.SIGKILL:
        for pid in _marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _marked(mark: str) -> list[int]:
    """List the processes that carry a mark of ours; Erlang's helpers leave our process group."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def _await(
    site: _Site, process: subprocess.Popen[bytes], is_ready: Callable[[], bool], name: str
) -> None:
    """Wait until a server is ready, and fail with its log if it ends or takes too long."""
    while not is_ready():
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode}:\n{_tail(site)}")
        if time.monotonic() > site.deadline:
            raise TimeoutError(f"{name} is not up after {START_SECONDS} s:\n{_tail(site)}")
        time.sleep(POLL_SECONDS)


def _tail(site: _Site) -> str:
    """Give the last lines of a server's log."""
    lines = site.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])


def _postmaster_is_ready(data: Path) -> bool:
    """Tell whether the postmaster of this folder has written that it accepts connections."""
    with suppress(OSError):
        return (data / "postmaster.pid").read_text().rstrip().endswith("\nready")
    return False


def _accepts(port: int) -> bool:
    """Tell whether something accepts connections on a port."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def _greets(port: int, node: str) -> bool:
    """Tell whether this very node answers an AMQP protocol header with connection.start."""
    wanted = node.partition("@")[0].encode()
    answer = b""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        while wanted not in answer and (piece := connection.recv(4096)):
            answer += piece
    return wanted in answer


def _sockets(site: _Site) -> str:
    """Name the folder of PostgreSQL's Unix socket, or none where the path would be too long."""
    return f'"{site.home}"' if len(os.fsencode(site.home)) <= SOCKET_FOLDER_BYTES else ""


def _create_databases(site: _Site, psql: Path, port: int, names: Iterable[str]) -> None:
    """Create the databases in one session."""
    quoted = [name.replace('"', '""') for name in names]
    commands = [f'--command=CREATE DATABASE "{name}"' for name in quoted]
    if commands:
        options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", port, "-U", "bihuan"]
        _run(site, [psql, *options, "-d", "postgres", *commands])
