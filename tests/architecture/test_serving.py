"""What a process that serves is made of: nothing that it does not need stays in its memory."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SERVING = "import console.main, chassis.storage.postgres, chassis.rabbitmq.bus"
"""What `bihuan run` imports for every service."""
GATEWAY = "import services.gateway.components, services.gateway.routes"
"""What a gateway imports when it starts."""
OTHER_COMMANDS = {
    "alembic", "console.client", "console.app", "mako", "pydantic", "typer",
}  # fmt: skip
SELDOM_ASKED_FOR = {"services.gateway.openapi", "xlsxwriter"}
NEVER = {"dns", "pygments", "rich"}
"""What libraries would bring along."""
ONLY_AT_THE_GATEWAY = {
    "argon2", "cryptography", "jwt", "services.gateway.routes", "standardwebhooks", "urllib3",
}  # fmt: skip
ONLY_FOR_TESTS = {"hypothesis", "jsonschema", "openpyxl", "pika", "pytest", "requests"}


def left_after(imports, unwanted):
    """Name those of the modules that are there after some imports."""
    found = subprocess.run(
        [sys.executable, "-c", f"{imports}\nimport sys\nprint(*{unwanted} & sys.modules.keys())"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


def test_a_service_holds_neither_another_command_nor_what_only_the_gateway_needs():
    unwanted = OTHER_COMMANDS | SELDOM_ASKED_FOR | ONLY_AT_THE_GATEWAY | NEVER | ONLY_FOR_TESTS
    assert left_after(SERVING, unwanted) == []


def test_a_gateway_holds_no_other_command_and_nothing_that_is_seldom_asked_for():
    unwanted = OTHER_COMMANDS | SELDOM_ASKED_FOR | NEVER | ONLY_FOR_TESTS
    assert left_after(f"{SERVING}\n{GATEWAY}", unwanted) == []
