"""What alembic runs for filing."""

import chassis.green  # noqa: F401, I001  (before everything else)

from chassis.migrations import run
from services.filing.service import Filings

run(Filings)
