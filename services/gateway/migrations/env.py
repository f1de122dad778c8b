"""What alembic runs for gateway."""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

from chassis.storage.migrations import run
from services.gateway.service import Gateway

run(Gateway)
