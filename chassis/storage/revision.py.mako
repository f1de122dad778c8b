"""${message}."""

import sqlalchemy as sa
from alembic.operations import Operations
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade(op: Operations) -> None:
    """Bring the tables up to this revision."""
    ${upgrades if upgrades else "pass"}
