"""What alembic runs for complaints."""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

from chassis.storage.migrations import run
from services.complaints.service import Complaints

run(Complaints)
