"""What alembic runs for inspection."""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

from chassis.storage.migrations import run
from services.inspection.service import Inspection

run(Inspection)
