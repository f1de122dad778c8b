"""Who calls."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the tables up to this revision."""
    op.add_column("commands", sa.Column("caller", sa.String(length=64), nullable=True))
    op.create_table(
        "accounts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=200), nullable=False),
        sa.Column("roles", sa.String(length=400), nullable=False),
        sa.Column("grids", sa.Text(), nullable=False),
        sa.Column("enterprises", sa.Text(), nullable=False),
        sa.Column("speaks_for_others", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
