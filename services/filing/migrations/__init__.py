"""The migrations of filing: what its tables have become, one revision after the other."""
