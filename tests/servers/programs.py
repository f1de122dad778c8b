"""A program as our child: its folder and ports, and starting, ending, killing and pausing it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.servers.packages import PATH

HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05
TAIL_LINES = 40
# Below the range from which Linux takes the ports of outgoing connections.
PORTS = range(16_000, 25_000)
# Every process that we start inherits this variable, so that we can tell ours from all others.
MARK = "BIHUAN_TEST_SERVER"
# Into a root folder, with a /proc that nobody else sees and that is gone when the program is.
ENTER = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
STOPPED, ENDED = "Tt", "ZX"


@dataclass(frozen=True)
class Site:
    """Where a program keeps its files and its log, and what it runs as, in which root folder."""

    home: Path
    log: Path
    owner: str | None = None
    root: Path | None = None

    def inside(self, path: Path) -> Path:
        """Return a path as the program sees it."""
        return Path("/") / path.relative_to(self.root) if self.root else path

    def command(self, words: Sequence[object]) -> list[str]:
        """Return the command that runs a program here."""
        enter = ["unshare", "--mount", "sh", "-c", ENTER, str(self.root)] if self.root else []
        return [*enter, *map(str, words)]

    def environment(self) -> dict[str, str]:
        """Return a program nothing of our environment but the path."""
        return {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": str(self.inside(self.home))}

    def tail(self) -> str:
        """Return the last lines of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


@contextmanager
def site(
    folder: Path, name: str, owner: str | None = None, root: Path | None = None
) -> Iterator[Site]:
    """Make a program's folder, in a temporary folder of the system if it is another user's.

    With a root folder, outside of which the program sees nothing, it is a temporary one there.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    around = root / "tmp" if root else None if owner else folder
    home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=around))
    try:
        if owner:
            shutil.chown(home, owner)
        yield Site(home, folder / f"{home.name}.log", owner, root)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
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


def accepts(port: int) -> bool:
    """Return whether something accepts connections on a port."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def wait_until(
    is_so: Callable[[], bool],
    sentence: str,
    seconds: float = START_SECONDS,
    tail: Site | None = None,
) -> None:
    """Wait for a fact; raises TimeoutError with what was expected, and the end of a log."""
    give_up = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > give_up:
            raise TimeoutError(
                f"{sentence}: not within {seconds} s.\n{tail.tail() if tail else ''}"
            )
        time.sleep(POLL_SECONDS)


class Program:
    """A program that we start in a session of its own, with all the processes that it starts."""

    def __init__(
        self,
        site: Site,
        command: Sequence[object],
        environment: Mapping[str, str] | None = None,
        signals: Sequence[int] = (signal.SIGTERM, signal.SIGKILL),
    ) -> None:
        self.site = site
        self.command = site.command(command)
        self.name = Path(str(command[0])).name
        self.signals = signals
        self.process: subprocess.Popen[bytes] | None = None
        self._mark = secrets.token_hex(8)
        base = site.environment() if environment is None else environment
        self._environment = {**base, MARK: self._mark}

    def __enter__(self) -> Self:
        """Return the program, which is ended at the end however often it was started."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the program, if it runs, and all that it started."""
        self.end()

    def run(self) -> None:
        """Run the program to its end, which must be a good one and in time."""
        with self:
            self.spawn()
            wait_until(self.has_ended, f"{self.name} ends", tail=self.site)
            if self.process is not None and self.process.returncode:
                code = self.process.returncode
                raise RuntimeError(f"{self.name} ended with {code}:\n{self.site.tail()}")

    def spawn(self) -> None:
        """Start the program, without waiting for anything."""
        owner = self.site.owner
        with self.site.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.site.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=owner,
                group=pwd.getpwnam(owner).pw_gid if owner else None,
                extra_groups=[] if owner else None,
            )

    def has_ended(self) -> bool:
        """Return whether the program itself does not run; what it started may still do."""
        return self.process is None or self.process.poll() is not None

    def await_ready(self, is_ready: Callable[[], bool]) -> None:
        """Wait until the program is ready; raises with its log if it ends or takes too long."""

        def is_ready_or_ended() -> bool:
            return is_ready() or self.has_ended()

        wait_until(is_ready_or_ended, f"{self.name} is ready", tail=self.site)
        if self.process is None or self.process.poll() is not None:
            code = self.process.returncode if self.process else None
            raise RuntimeError(f"{self.name} ended with {code}:\n{self.site.tail()}")

    def ask_to_end(self, number: int) -> None:
        """Send a signal, and wait until nothing of the program is left; raises TimeoutError."""
        self.resume()
        ours = {*self._states()}
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)
        else:
            _signal(ours, number)
        self._await_end(ours, number)

    def end(self) -> None:
        """Send each signal, the next one only when there is something left after a while."""
        for number in self.signals:
            if number == signal.SIGKILL:
                self.kill()
                return
            with suppress(TimeoutError):
                self.ask_to_end(number)
                return

    def kill(self) -> None:
        """End every process at once and without notice, as a crash of the machine would."""
        self.pause()  # so that none of them sees another one end, or starts one more
        ours = {*self._states()}
        _signal(ours, signal.SIGKILL)
        self._await_end(ours, signal.SIGKILL)

    def pause(self) -> None:
        """Stop every process where it stands, and return when all of them have stopped."""
        seen: set[int] | None = None

        def all_stopped() -> bool:
            nonlocal seen
            states = self._states()
            running = [pid for pid, state in states.items() if set(state) - set(STOPPED + ENDED)]
            _signal(running, signal.SIGSTOP)
            # Twice the same, because a process may be started while one looks.
            alike, seen = not running and seen == {*states}, {*states}
            return alike

        wait_until(all_stopped, f"{self.name} stops", STOP_SECONDS)

    def resume(self) -> None:
        """Let every process go on."""
        _signal(self._states(), signal.SIGCONT)

    def _await_end(self, ours: Collection[int], number: int) -> None:
        # A process loses its environment, and so our mark, before it closes its sockets.
        def is_over() -> bool:
            return self.has_ended() and not self._states() and not any(map(_lives, ours))

        wait_until(is_over, f"{self.name} ends by signal {number}", STOP_SECONDS)

    def _states(self) -> dict[int, str]:
        """Return the states of the threads of each process that is ours and has not ended.

        Ours are those with our mark, and their children: Erlang's helpers leave our process group,
        and PostgreSQL's overwrite their environment. A process whose first thread is a zombie may
        have others, which hold its sockets open.
        """
        ours = set() if self.has_ended() or self.process is None else {self.process.pid}
        wanted = f"{MARK}={self._mark}".encode()
        parents: dict[int, int] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parents[int(folder.name)] = int(_status(folder)[1])
                if wanted in (folder / "environ").read_bytes():
                    ours.add(int(folder.name))
        while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= more
        return {pid: _states_of_threads(pid) for pid in ours if _lives(pid)}


def _status(folder: Path) -> list[str]:
    """Return what the kernel says of a process or thread: its state, its parent, and so on."""
    # The name before it stands in parentheses and may hold anything.
    return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _lives(pid: int) -> bool:
    return bool(set(_states_of_threads(pid)) - set(ENDED))


def _states_of_threads(pid: int) -> str:
    states = ""
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            states += _status(thread)[0]
    return states


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


class Server:
    """A server that a test can stop, kill, start and pause, on the same data and port."""

    def __init__(self, program: Program, port: int) -> None:
        self.port = port
        self._program = program

    def is_ready(self) -> bool:
        """Return whether this very server takes requests."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server, or let it go on, and wait until it takes requests."""
        self.spawn()
        self._program.await_ready(self.is_ready)

    def spawn(self) -> None:
        """Start the server, or let it go on, without waiting for anything."""
        if self._program.has_ended():
            self._program.spawn()
        else:
            self.resume()

    def stop(self) -> None:
        """Shut the server down in good order, and return when it has ended."""
        self._program.ask_to_end(self._program.signals[0])

    def kill(self) -> None:
        """End every process of the server at once and without notice: a crash."""
        self._program.kill()

    def restart(self) -> None:
        """Stop the server in good order and start it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop every process of the server where it stands; connections stay open, and silent."""
        self._program.pause()

    def resume(self) -> None:
        """Let the server go on after a pause."""
        self._program.resume()
