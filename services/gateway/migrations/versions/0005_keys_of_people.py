"""The keys of people's data, and an index of the events that hold it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Bring the tables up to this revision."""
    op.create_table(
        "person_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("wrapped", sa.Text(), nullable=True),
        sa.Column("wrapped_by", sa.String(length=16), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("destroyed_at", sa.Float(), nullable=True),
        sa.Column("destroyed_by", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("person_keys_of", "person_keys", ["person"], unique=False)
    op.create_index("person_keys_wrapped_by", "person_keys", ["wrapped_by", "id"], unique=False)
    in_use = sa.text("destroyed_at IS NULL")
    op.create_index(
        "person_keys_in_use",
        "person_keys",
        ["person"],
        unique=True,
        sqlite_where=in_use,
        postgresql_where=in_use,
    )
    personal = sa.text(
        "type IN ('claim-filed', 'complaint-received', 'complaint-revised', 'medic-enrolled')"
    )
    op.create_index(
        "events_of_people",
        "events",
        ["partitionkey", "position"],
        unique=False,
        sqlite_where=personal,
        postgresql_where=personal,
    )
