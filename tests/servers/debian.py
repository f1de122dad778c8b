"""RabbitMQ 4, from a Debian in a folder of its own (chroot) that is kept between the runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.packages import PATH, POLICY, Unavailable, need

SUITE = "trixie"  # which has RabbitMQ 4.0.5
COMPLETE = ".complete"
BUILD_SECONDS = 900
# What debootstrap mounts while it builds, and leaves behind if it is killed.
MOUNTS = ("proc", "sys")


def rabbitmq4_root() -> Path:
    """Return the folder of the Debian with RabbitMQ 4, built first if need be (370 MB, a minute).

    The environment variable BIHUAN_RABBITMQ4 says where it is kept; raises `Unavailable`.
    """
    kept = os.environ.get("BIHUAN_RABBITMQ4")
    root = Path(kept) if kept else Path(tempfile.gettempdir()) / "bihuan-rabbitmq4"
    root = root.absolute()
    if os.geteuid() != 0:
        raise Unavailable("RabbitMQ 4 needs chroot, so please run its tests as root.")
    unshare = shutil.which("unshare", path=PATH)
    if not unshare or subprocess.run([unshare, "--mount", "true"], check=False).returncode:
        raise Unavailable("RabbitMQ 4 needs a /proc of its own, and mounting is not allowed here.")
    root.parent.mkdir(parents=True, exist_ok=True)
    with _locked(root.with_name(f"{root.name}.lock")):
        if not (root / COMPLETE).is_file():
            _build(root)
    status = root.stat()
    if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unavailable(f"{root} may be another user's work, so we do not run what is in it.")
    return root


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one test session at a time build."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _build(root: Path) -> None:
    """Build beside the folder, and put it in its place when it is complete."""
    if root.exists() and any(root.iterdir()):
        raise Unavailable(
            f"{root} is not empty and has no RabbitMQ 4 of ours; please name another folder."
        )
    debootstrap = need(lambda: shutil.which("debootstrap", path=PATH), "debootstrap")
    mirror = _mirror()
    building = root.with_name(f"{root.name}.building")
    _remove(building)
    policy = building / "usr/sbin/policy-rc.d"
    policy.parent.mkdir(parents=True, mode=0o755)
    policy.write_text(POLICY)  # before any package is there whose installation starts a service
    policy.chmod(0o755)
    log = root.with_name(f"{root.name}.log")
    options = ["--variant=minbase", "--include=rabbitmq-server"]
    with log.open("wb") as said:
        code = subprocess.run(
            [debootstrap, *options, SUITE, str(building), mirror],
            env={**os.environ, "PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            timeout=BUILD_SECONDS,
            check=False,
        ).returncode
    if code:
        raise Unavailable(
            f"debootstrap could not build RabbitMQ 4 and ended with {code}; see {log}."
        )
    _unmount(building)
    (building / COMPLETE).touch()
    if root.exists():
        root.rmdir()
    building.rename(root)


def _mirror() -> str:
    """Return the Debian mirror that this machine's apt uses; its security archive has no
    release."""
    apt = shutil.which("apt-get", path=PATH)
    if apt:
        command = [apt, "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            origin, label, uri = line.split("|", 2)
            if origin == label == "Debian" and uri.startswith(("http://", "https://")):
                return uri
    raise Unavailable("RabbitMQ 4 comes from Debian, and apt knows no Debian mirror here.")


def _remove(folder: Path) -> None:
    """Remove what a build that was cut off has left."""
    if folder.exists():
        _unmount(folder)
        shutil.rmtree(folder)


def _unmount(folder: Path) -> None:
    umount = shutil.which("umount", path=PATH) or "umount"
    for name in MOUNTS:
        while os.path.ismount(folder / name):
            subprocess.run([umount, str(folder / name)], check=True)
