"""`make schemathesis MINUTES=10`: asks a district of its own for so long, each time otherwise."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

import chassis.runtime.green  # noqa: F401  (before everything that listens)
from chassis.messaging.memory_bus import EmbeddedBus
from tests.district import TestDistrict
from tests.fuzzing.asking import ask


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args()
    seconds = max(1, round(given.minutes * 60))
    with tempfile.TemporaryDirectory() as folder:
        district = TestDistrict(Path(folder), EmbeddedBus(), wait=1.0, log_level="error")
        try:
            district.begin()
            options = (
                f"--max-time={seconds}",
                f"--seed={given.seed}",
                "--generation-database=none",
            )
            code, said = ask(district, *options, seconds=2 * seconds + 300)
        finally:
            district.stop()
    sys.stdout.write(said)
    return code


if __name__ == "__main__":
    sys.exit(main())
