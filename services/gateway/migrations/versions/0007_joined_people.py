"""Who a person has turned out to be, for whom a key was made under another reference."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Bring the tables up to this revision."""
    op.add_column("person_keys", sa.Column("joined", sa.String(length=64), nullable=True))
    op.create_index("person_keys_joined", "person_keys", ["joined"], unique=False)
    # a key that is joined to somebody else leaves its first person free to have another
    in_use = sa.text("destroyed_at IS NULL AND joined IS NULL")
    op.drop_index("person_keys_in_use", table_name="person_keys")
    op.create_index(
        "person_keys_in_use",
        "person_keys",
        ["person"],
        unique=True,
        sqlite_where=in_use,
        postgresql_where=in_use,
    )
