"""The programs of the servers: found where they are, or installed where that is allowed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

PATH = os.pathsep.join(
    [os.environ.get("PATH") or os.defpath, "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
)
POLICY = "#!/bin/sh\n# Of one installation by bihuan's tests.\nexit 101\n"

ProgramsT = TypeVar("ProgramsT")


class Unavailable(RuntimeError):
    """A server's programs are missing, and the message says what to install."""


def need(find: Callable[[], ProgramsT | None], *packages: str) -> ProgramsT:
    """Find programs, install their packages where that is allowed, or say what to install."""
    found = find()
    apt = shutil.which("apt-get", path=PATH)
    if found is None and apt and os.geteuid() == 0:
        found = _install(find, packages, apt)
    if found is None:
        names = " ".join(packages)
        which = "package" if len(packages) == 1 else "packages"
        raise Unavailable(f"Please install the {which} {names} (apt-get install {names}).")
    return found


def _install(
    find: Callable[[], ProgramsT | None], packages: Sequence[str], apt: str
) -> ProgramsT | None:
    """Install Debian packages, one test session at a time, and find their programs."""
    options = ["-o", "DPkg::Lock::Timeout=300"]
    install = [*options, "install", "-y", "--no-install-recommends", *packages]
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
        policy.write_text(POLICY)
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)
