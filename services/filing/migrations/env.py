"""What alembic runs for filing."""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

from chassis.storage.migrations import run
from services.filing.service import Filings

run(Filings)
