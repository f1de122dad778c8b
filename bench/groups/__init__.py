"""The groups of rows of the report, one module each."""
