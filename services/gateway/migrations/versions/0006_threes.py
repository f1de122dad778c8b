"""An index of the words by three characters, which PostgreSQL makes of the pairs."""

from alembic import op

revision = "0006"
down_revision = "0005"
POSTGRESQL = (
    """
CREATE OR REPLACE FUNCTION threes_of(words text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    before text := '';
    pair text;
    threes text[] := '{}';
BEGIN
    FOREACH pair IN ARRAY string_to_array(words, ' ') LOOP
        IF length(before) = 2 AND length(pair) = 2 THEN
            threes := threes || (before || right(pair, 1));
        END IF;
        before := pair;
    END LOOP;
    RETURN threes;
END $$
""",
    "CREATE INDEX complaints_words_threes ON complaints_words USING gin (threes_of(words))",
    "CREATE INDEX enterprises_words_threes ON enterprises_words USING gin (threes_of(words))",
)


def upgrade() -> None:
    """Bring the tables up to this revision."""
    if op.get_context().dialect.name == "postgresql":
        for statement in POSTGRESQL:
            op.execute(statement)
