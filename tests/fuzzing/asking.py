"""Schemathesis as a program of its own, which asks a district that is served here."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
PROGRAM = Path(sys.executable).with_name("schemathesis")


def ask(district, *arguments, seconds):
    """Ask what the document says may be asked; give how it ended, and what it said."""
    command = [
        str(PROGRAM),
        "--config-file=schemathesis.toml",
        "--no-color",
        "run",
        f"{district.client.base}/openapi.json",
        f"--header=Authorization: Bearer {district.client.token}",
        "--continue-on-failure",
        "--warnings=off",
        *arguments,
    ]
    done = subprocess.run(
        command, cwd=FOLDER, capture_output=True, text=True, timeout=seconds, check=False
    )
    return done.returncode, done.stdout + done.stderr
