"""A district in a process of its own, which ends with this one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

LISTENS = re.compile(rb"listens on (http://\S+)")
LOG = "district.log"


class ChildEnded(Exception):
    """The district's process has ended; the message is what it said last."""


class Child:
    """Starts `bihuan up` on a manual clock, and stops it at the end."""

    def __init__(
        self, data: Path, port: int, *, entry: tuple[str, ...] = ("console.main",)
    ) -> None:
        self.data = data
        self.port = port
        self.entry = entry

    def __enter__(self) -> Self:
        """Start the district and wait until it listens; raises `ChildEnded`."""
        self.data.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", *self.entry, "up", "--manual-clock"]
        command += ["--port", str(self.port), "--data", str(self.data)]
        with (self.data / LOG).open("ab") as log:
            self._start = log.tell()
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=_end_with_the_parent,
            )
        line = self.process.stdout.readline() if self.process.stdout else b""
        found = LISTENS.search(line)
        if found is None:
            self.process.wait()
            raise ChildEnded(self._last_words())
        self.base = found[1].decode()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the district: first by asking, then, after a while, without."""
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
        """End the district as a crash would."""
        self.process.kill()
        self.process.wait()

    def wait(self) -> None:
        """Wait until the district ends or the operator interrupts."""
        try:
            self.process.wait()
        except KeyboardInterrupt:
            return
        raise ChildEnded(self._last_words())

    def peak_memory_mb(self) -> float:
        """Tell the most memory that the district has held, in MB of 10⁶ bytes; 0 if unknown."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0.0
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) * 1024 / 1e6 if found else 0.0

    def _last_words(self) -> str:
        with (self.data / LOG).open("rb") as log:
            log.seek(self._start)
            text = log.read().decode(errors="replace").strip()
        last = text.splitlines()[-1] if text else "The district's process ended without a word."
        return last.removeprefix("bihuan: ")


def _end_with_the_parent() -> None:
    """Have the kernel end this process when its parent ends (Linux; elsewhere nothing happens)."""
    os.setpgid(0, 0)  # the terminal's Ctrl-C goes to the parent, which asks the child to stop
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    except (OSError, AttributeError):
        return
