"""The rows of the report, a module for each group of them."""
