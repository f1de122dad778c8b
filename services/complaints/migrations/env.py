"""What alembic runs for complaints."""

import chassis.green  # noqa: F401, I001  (before everything else)

from chassis.migrations import run
from services.complaints.service import Complaints

run(Complaints)
