"""The first tables, created from the metadata."""
