"""The first tables, which the metadata makes."""
