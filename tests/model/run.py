"""`make model`: search the models of docs/model, with LONG=1 those that take minutes too."""

import sys
import tempfile
from pathlib import Path

from tests.model.checking import SEARCHES, search


def main():
    wrong = 0
    sys.stdout.write(f"{'states':>12} {'MB':>6} {'s':>6}\n")
    for wanted in SEARCHES:
        if wanted.is_long and "--long" not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            came = search(wanted, Path(folder))
        is_right = wanted.breaks in came.broken if wanted.breaks else came.is_complete
        is_right = is_right and bool(wanted.breaks) == bool(came.broken)
        wrong += not is_right
        told = f"breaks {came.broken}" if came.broken else "keeps every promise"
        told += "" if is_right else "  <- NOT AS EXPECTED"
        cost = f"{came.states:>12,} {came.megabytes:>6.0f} {came.seconds:>6.1f}"
        sys.stdout.write(f"{cost}  {wanted}: {told}\n")
        sys.stdout.flush()
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main()))
