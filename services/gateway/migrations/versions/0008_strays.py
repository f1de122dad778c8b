"""What a listener left out while it waited for a marker, and which."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Bring the tables up to this revision."""
    op.create_table(
        "strays",
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("marker", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
