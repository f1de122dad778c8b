"""What alembic runs for gateway."""

import chassis.green  # noqa: F401, I001  (before everything else)

from chassis.migrations import run
from services.gateway.service import Gateway

run(Gateway)
