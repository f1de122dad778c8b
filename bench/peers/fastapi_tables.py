"""The one table that FastAPI inserts into."""

FILINGS = """
CREATE TABLE filings (
    id varchar(64) PRIMARY KEY,
    enterprise_id varchar(64) NOT NULL,
    reopen_on date NOT NULL,
    headcount integer NOT NULL,
    out_of_province integer NOT NULL,
    measures json NOT NULL,
    pledge boolean NOT NULL
)
"""
