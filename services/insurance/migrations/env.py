"""What alembic runs for insurance."""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

from chassis.storage.migrations import run
from services.insurance.service import Insurance

run(Insurance)
