"""Who a person has turned out to be, for whom a key was made under another reference."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Bring the tables up to this revision."""
    op.add_column("person_keys", sa.Column("joined", sa.String(length=64), nullable=True))
    op.create_index("person_keys_joined", "person_keys", ["joined"], unique=False)
