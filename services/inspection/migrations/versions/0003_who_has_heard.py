"""Who said what was handled, and which handlers have heard it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Bring the tables up to this revision."""
    op.add_column("inbox", sa.Column("origin", sa.Integer(), nullable=True))
    op.add_column("inbox", sa.Column("hearers", sa.Integer(), nullable=True))
    op.create_table(
        "hearers",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("handlers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("hearers_digest", "hearers", ["digest"], unique=True)
    op.create_index("letters_id", "letters", ["id"], unique=False)
