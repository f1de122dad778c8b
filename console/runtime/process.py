"""Districts and services in processes of their own, which end with this one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from console.exits import Ended

LISTENS = re.compile(rb"listens on (http://\S+)")
LOG = "district.log"


class ChildEnded(Ended):
    """The district's process has ended; the message is its last output."""


class Process:
    """Runs `bihuan` with some arguments, and stops it at the end; its log goes to a file.

    `entry` is the module to run, with leading arguments.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        *,
        environ: Mapping[str, str] | None = None,
        entry: tuple[str, ...] = ("console.main",),
    ) -> None:
        self.arguments = arguments
        self.log = log
        self.environ = environ or {}
        self.entry = entry
        self.base = ""

    def __enter__(self) -> Self:
        """Start the process and wait until it listens; raises `ChildEnded`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", *self.entry, *self.arguments]
        with self.log.open("ab") as log:
            self._start = log.tell()
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **self.environ},
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=_end_with_the_parent,
            )
        line = self.process.stdout.readline() if self.process.stdout else b""
        match = LISTENS.search(line)
        if match is None:
            self.process.wait()
            raise ChildEnded(self._last_words())
        self.base = match[1].decode()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the process: by SIGTERM, then, after a while, by SIGKILL."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def kill(self) -> None:
        """Kill the process, as a crash would."""
        self.process.kill()
        self.process.wait()

    def wait(self) -> None:
        """Wait until the process ends or the operator interrupts."""
        try:
            self.process.wait()
        except KeyboardInterrupt:
            return
        raise ChildEnded(self._last_words())

    def peak_memory_mb(self) -> float:
        """Return the peak memory of the process, in MB of 10⁶ bytes; 0 if unknown."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0.0
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(match[1]) * 1024 / 1e6 if match else 0.0

    def _last_words(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._start)
            text = log.read().decode(errors="replace").strip()
        last = text.splitlines()[-1] if text else "The process ended without output."
        return last.removeprefix("bihuan: ")


class Child(Process):
    """An embedded district on a manual clock."""

    def __init__(
        self, data: Path, port: int, *, entry: tuple[str, ...] = ("console.main",)
    ) -> None:
        arguments = ["up", "--manual-clock", "--port", str(port), "--data", str(data)]
        super().__init__(arguments, data / LOG, entry=entry)

    @property
    def bases(self) -> list[str]:
        """The address of the gateway."""
        return [self.base]


def _end_with_the_parent() -> None:
    """Ask the kernel to end this process when its parent ends (only on Linux)."""
    os.setpgid(0, 0)  # the terminal's Ctrl-C goes to the parent, which asks the child to stop
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    except (OSError, AttributeError):
        return
