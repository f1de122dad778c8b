"""What is tidied, made anew or rehearsed takes no district along, nor its keys, unless asked."""

import fcntl
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.messaging.memory_bus import EmbeddedBus
from tests.console.conftest import here
from tests.district import TestDistrict
from tests.receivers import until

REPOSITORY = Path(__file__).parents[2]
KEPT = ("bihuan-data/gateway.db", "bihuan-data/seal.key", "ops/secrets/seal_key")


@pytest.fixture
def place(tmp_path):
    """A folder with the Makefile, a district and secrets."""
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    for name in (*KEPT, ".venv/x", ".venv-bench/x", "build/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("dear")
    return tmp_path


def make(place, target, said=None):
    """Run a target; what is said is typed at a terminal, and without it there is none."""
    ours, theirs = pty.openpty() if said is not None else (None, subprocess.DEVNULL)
    if said is not None:
        os.write(ours, f"{said}\n".encode())
    done = subprocess.run(
        ["make", target], cwd=place, stdin=theirs, capture_output=True, text=True, check=False
    )
    if said is not None:
        os.close(ours)
        os.close(theirs)
    return done


def there(place):
    return [name for name in KEPT if (place / name).exists()]


def test_cleaning_takes_no_district_and_no_keys_along(place):
    assert make(place, "clean").returncode == 0
    assert there(place) == [*KEPT]
    assert not any((place / name).exists() for name in (".venv", ".venv-bench", "build"))


@pytest.mark.parametrize("said", [None, "", "y", "yes", "bihuan-data", "delete bihuan-data "])
def test_a_district_is_deleted_only_by_whoever_types_so_at_a_terminal(place, said):
    done = make(place, "delete-district", said)
    if said == "delete bihuan-data ":  # the shell trims it
        assert done.returncode == 0
        assert there(place) == ["ops/secrets/seal_key"]
    else:
        assert done.returncode != 0
        assert there(place) == [*KEPT]


def test_a_district_that_runs_is_not_deleted(place):
    with (place / "bihuan-data" / "district.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = make(place, "delete-district", "delete bihuan-data")
    assert "A district is running" in done.stdout
    assert there(place) == [*KEPT]


def test_none_begins_to_run_on_a_district_that_is_about_to_be_deleted(place):
    ours, theirs = pty.openpty()
    words, told = ["make", "delete-district"], subprocess.PIPE
    with subprocess.Popen(words, cwd=place, stdin=theirs, stdout=told, text=True) as asks:
        said = ""
        while "type" not in said:
            said += asks.stdout.read(1)
        lock = (place / "bihuan-data" / "district.lock").open("w")
        with lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(ours, b"no\n")
    os.close(ours)
    os.close(theirs)
    assert there(place) == [*KEPT]


@pytest.mark.parametrize("lost", ["tls_key", "tls_certificate"])
def test_half_of_a_pair_for_tls_is_not_written_over(tmp_path, lost):
    program = [sys.executable, REPOSITORY / "ops" / "make_secrets.py", tmp_path / "secrets"]
    subprocess.run(program, check=True, capture_output=True)
    (tmp_path / "secrets" / lost).unlink()
    before = {file: file.read_bytes() for file in (tmp_path / "secrets").iterdir()}
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "its counterpart" in done.stderr
    assert {file: file.read_bytes() for file in (tmp_path / "secrets").iterdir()} == before


def test_the_demo_plays_no_month_to_a_district_that_goes_by_the_real_clock(tmp_path):
    live = TestDistrict(tmp_path / "d", EmbeddedBus(), clock="real")
    try:
        until(lambda: live.client.get("/v1/events")["items"])  # it says which hour it is
    finally:
        live.stop()
    environ = {"DATABASE_URL": "", "AMQP_URI": ""}
    words = ("demo", "--once", "--scale", "0.01", "--port", "0", "--data", tmp_path / "d")
    code, _, errors = here(environ, *words)
    assert code == 2
    assert "on the real clock" in errors[0]
    assert not (tmp_path / "d" / "district.log").exists()


def test_the_demo_is_played_again_where_it_was_played(tmp_path):
    rehearsed = TestDistrict(tmp_path / "d", EmbeddedBus())
    rehearsed.begin()
    rehearsed.stop()
    from console.demo.command import _refuse_a_live_one

    _refuse_a_live_one(tmp_path / "d")
