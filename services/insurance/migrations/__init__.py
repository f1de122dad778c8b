"""The migrations of insurance: what its tables have become, one revision after the other."""
