"""The tables' revisions."""
